#include "sandbox/filter.h"

#include "sandbox/box.h"

size_t filter_shape(const struct box_plan *plan)
{
	size_t net = box_hands_over(plan) ? (size_t)NET_COUNT : (size_t)plan->net;
	return (net * 2 + plan->allow_ptrace) * 2 + plan->read_events;
}

const struct filter *filter_of(const struct box_plan *plan)
{
	return &filter_programs[filter_shape(plan)];
}
