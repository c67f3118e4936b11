# A real terminal: a shell in tmux, on a server of the test's own. After common.

teardown() {
	local pid
	if [ -n "${TERMINAL-}" ]; then
		tmux -L t kill-server 2>/dev/null || true
	fi
	for pid in $(jobs -pr); do kill -KILL "$pid" 2>/dev/null || true; done
}

# terminal [COLUMNS ROWS]
terminal() {
	export TMUX_TMPDIR=$BATS_TEST_TMPDIR VSANDBOX POLICY
	TERMINAL=1
	tmux -L t -f /dev/null new-session -d -x "${1:-150}" -y "${2:-50}" 'env PS1="$ " bash --norc --noprofile -i' 3>&-
	eventually screen_has '^\$'
}

screen() {
	tmux -L t capture-pane -p -t 0
}

screen_has() {
	screen | grep -q -- "$1"
}

screen_lacks() {
	! screen_has "$1"
}

type_text() {
	tmux -L t send-keys -t 0 -l "$1"
}

type_line() {
	type_text "$1"
	tmux -L t send-keys -t 0 Enter
}

type_key() {
	tmux -L t send-keys -t 0 "$1"
}

# press KEY TEXT: an answer, which TEXT on the screen acknowledges
press() {
	local tries
	for tries in 1 2 3 4 5; do
		sleep 0.3 # a hasty key is no answer
		type_key "$1"
		! acknowledged "$2" || return 0
	done
	return 1
}

acknowledged() {
	local until=$((SECONDS + 10))
	until screen_has "$1"; do
		((SECONDS < until)) || return 1
		sleep 0.02
	done
}
