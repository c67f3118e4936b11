#include "launcher/oci/registered.h"

#include <string.h>

struct oci_registered *oci_registered_find(struct oci_registry *r, uid_t uid, const char *id)
{
	for (unsigned i = 0; i < OCI_REGISTERED; i++)
		if (*r->all[i].id && r->all[i].uid == uid && !strcmp(r->all[i].id, id))
			return &r->all[i];
	return NULL;
}

unsigned oci_registered_count(const struct oci_registry *r, uid_t uid)
{
	unsigned count = 0;
	for (unsigned i = 0; i < OCI_REGISTERED; i++)
		count += *r->all[i].id && r->all[i].uid == uid;
	return count;
}

void oci_registered_add(struct oci_registry *r, uid_t uid, const struct oci_claim *claim)
{
	struct oci_registered *slot = oci_registered_find(r, uid, claim->id);
	if (!slot)
		slot = &r->all[r->next++ % OCI_REGISTERED];
	*slot = (struct oci_registered){ .uid = uid, .pid = claim->init };
	memcpy(slot->id, claim->id, sizeof(slot->id));
}

void oci_registered_remove(struct oci_registry *r, uid_t uid, const char *id)
{
	struct oci_registered *known = oci_registered_find(r, uid, id);
	if (known)
		*known = (struct oci_registered){ 0 };
}
