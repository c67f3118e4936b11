/* Random policies and random actions for the properties of the evaluator. */
#pragma once

#include "tests/unit/scoring_actions.h"

#include <stdio.h>

#include "policies/policy.h"
#include "scoring/judge.h"

static uint32_t seed = 20261122;

static inline uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

#define PICK(list) ((list)[random_u32() % (sizeof(list) / sizeof((list)[0]))])

static const char *const patterns[] = { "/w/**",  "/w/src/*", "/etc/**", "*.env",  "/h/me/.ssh/**",
					"prod.*", "/usr/**",  "**",      "/tmp/**" };
static const char *const paths[] = {
	"/w/a",         "/w/src/b.c",   "/etc/passwd", "/w/x.env", "/h/me/.ssh/id_rsa",
	"/w/prod.yaml", "/usr/bin/env", "/tmp/t",      "/opt/x"
};
static const char *const hosts[] = { "example.com", "*.example.com", "10.0.0.0/8", "*" };
static const char *const places[] = { "example.com:443", "a.example.com:80", "10.1.2.3:22" };

/* A policy text of random members, any of which may be missing. */
static inline void random_policy(char *text, size_t size)
{
	static const char *const modes[] = { "alert", "pause", "rollback", "observe" };
	static const char *const nets[] = { "none", "allowlist", "host" };
	static const char *const types[] = { "file_read", "file_write", "file_delete",
					     "code_execution", "network_request" };
	static const char *const effects[] = { "block", "pause", "allow" };
	static const char *const lists[] = { "allowed_resources", "allowed_read", "allowed_write",
					     "blocked_resources", "spawn_allowed" };
	size_t n = (size_t)snprintf(text, size, "{\"mode\":\"%s\"", PICK(modes));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (random_u32() % 3 == 0)
			n += (size_t)snprintf(text + n, size - n, ",\"%s\":[\"%s\",\"%s\"]",
					      lists[i], PICK(patterns), PICK(patterns));
	if (random_u32() % 3 == 0)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"allowed_action_types\":[\"%s\",\"%s\"]", PICK(types),
				      PICK(types));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"spawn\":false");
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"max_risk_score\":0.%u",
				      1 + random_u32() % 9);
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"risk_threshold\":0.%u",
				      1 + random_u32() % 9);
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"network\":{\"mode\":\"%s\",\"allow_hosts\":[\"%s\"],"
				      "\"block_hosts\":[\"%s\"]}",
				      PICK(nets), PICK(hosts), PICK(hosts));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"filesystem\":{\"hide\":[\"%s\"],\"ambient\":[\"%s\"]}",
				      PICK(patterns), PICK(patterns));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"rules\":[{\"name\":\"r\",\"resource_pattern\":\"%s\","
				      "\"effect\":\"%s\",\"priority\":%u}]",
				      PICK(patterns), PICK(effects), random_u32() % 10);
	snprintf(text + n, size - n, "}");
}

static inline struct policy *parse(const char *text, bool neutral)
{
	const struct policy_env env = { .home = "/h/me", .workspace = "/w", .neutral = neutral };
	struct policy *p;
	struct err err = { "" };
	if (policy_parse(text, strlen(text), "p.json", &env, &p, &err) < 0)
		fail_msg("%s: %s", err.text, text);
	return p;
}

static inline struct action random_action(void)
{
	static const enum action_op ops[] = { OP_READ, OP_WRITE, OP_DELETE };
	static const enum provenance origins[] = { PROVENANCE_SYSTEM, PROVENANCE_EXISTING,
						   PROVENANCE_CREATED };
	switch (random_u32() % 3) {
	case 0:
		return action_net(PICK(places), random_u32() % 2);
	case 1:
		return action_exec(PICK(paths), PICK(origins), "x\0-rf");
	default:
		return action_file(PICK(ops), PICK(paths), PICK(origins));
	}
}
