-- Requests of bench/control.sh for wrk: ARG 1 is the kind (check, post, batch), 2 the key, 3 the milliseconds
-- that a connection waits before each request, 4 the actions in a batch.
local threads = 0

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

local function action(i)
	return string.format(
		'{"agent_id":"bench-%d","session_id":"s%d","action_type":"%s","resource":"/w/src/file%d.c","payload":{"size":%d}',
		number, number, i % 3 == 0 and "file_write" or "file_read", i, i * 17)
end

function init(args)
	kind, key, wait, count = args[1], args[2], tonumber(args[3]), tonumber(args[4] or "1")
	begun, sent, actions = os.time(), 0, {}
	for i = 1, count do
		actions[i] = action(i)
	end
	-- wrk has no delay unless the function is there, and asks for it once
	if wait > 0 then
		function delay()
			return wait
		end
	end
end

-- The client's own id makes each action a new one, as an uplink's do.
local function body()
	sent = sent + 1
	if kind == "check" then
		return actions[sent % count + 1] .. "}"
	end
	local list = {}
	for i = 1, count do
		list[i] = string.format('%s,"action_id":"%d-%d-%d-%d"}', actions[i], begun, number, sent, i)
	end
	return count == 1 and list[1] or "[" .. table.concat(list, ",") .. "]"
end

function request()
	return wrk.format("POST", kind == "check" and "/api/check" or "/api/actions",
		{ ["x-api-key"] = key, ["Content-Type"] = "application/json" }, body())
end
