#include "rootfs/overlay_plan.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/scope.h"

bool path_is_fresh(const char *path)
{
	static const char *const fresh[] = { "/proc", "/sys", "/dev", "/run" };
	for (size_t i = 0; i < sizeof(fresh) / sizeof(fresh[0]); i++)
		if (path_is_within(path, fresh[i]))
			return true;
	return false;
}

static bool is_pseudo(const struct mount_point *m)
{
	static const char *const pseudo[] = {
		"proc",     "sysfs",      "devtmpfs",  "devpts",    "cgroup",     "cgroup2",
		"debugfs",  "tracefs",    "bpf",       "mqueue",    "securityfs", "pstore",
		"efivarfs", "configfs",   "fusectl",   "hugetlbfs", "autofs",     "binfmt_misc",
		"nsfs",     "rpc_pipefs", "selinuxfs", "nfsd",
	};
	for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++)
		if (strcmp(m->fstype, pseudo[i]) == 0)
			return true;
	return false;
}

static const struct mount_point *mount_by_id(const struct mount_table *t, uint64_t id)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->items[i].id == id)
			return &t->items[i];
	return NULL;
}

bool mount_is_pseudo(const struct mount_table *t, const struct mount_point *m)
{
	if (is_pseudo(m))
		return true;
	const struct mount_point *on = m;
	/* no further than there are mounts: the text may say anything */
	for (size_t i = 0; i < t->count && (on = mount_by_id(t, on->parent)); i++)
		/* homes may lie on an autofs: what cannot be carried over is not passed over in silence there */
		if (is_pseudo(on) && strcmp(on->fstype, "autofs") != 0 &&
		    strcmp(on->path, m->path) != 0)
			return true;
	return false;
}

/* mountinfo writes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool has_option(const char *options, const char *word)
{
	size_t len = strlen(word);
	while (*options) {
		size_t n = strcspn(options, ",");
		if (n == len && strncmp(options, word, n) == 0)
			return true;
		options += n + (options[n] == ',');
	}
	return false;
}

/* 36 35 98:0 /root /mount rw,noatime shared:1 - ext4 /dev/sda rw,errors=continue */
static int parse_line(char *line, struct mount_point *ret)
{
	char *fields[64];
	unsigned count = 0, dash = 0;
	char *save = NULL;
	for (char *f = strtok_r(line, " ", &save); f && count < 64;
	     f = strtok_r(NULL, " ", &save)) {
		if (count >= 6 && !dash && strcmp(f, "-") == 0)
			dash = count;
		fields[count++] = f;
	}
	if (!dash || count < dash + 2)
		return -EBADMSG;
	char *end;
	errno = 0;
	uint64_t id = strtoull(fields[0], &end, 10);
	if (errno || *end || fields[4][0] != '/')
		return -EBADMSG;
	uint64_t parent = strtoull(fields[1], &end, 10);
	if (errno || *end)
		return -EBADMSG;
	unescape(fields[4]);
	struct mount_point m = { .id = id, .parent = parent };
	m.read_only = has_option(fields[5], "ro") ||
		      (count > dash + 3 && has_option(fields[dash + 3], "ro"));
	snprintf(m.fstype, sizeof(m.fstype), "%s", fields[dash + 1]);
	m.path = strdup(fields[4]);
	if (!m.path)
		return -ENOMEM;
	*ret = m;
	return 0;
}

int mount_table_parse(const char *text, struct mount_table *ret)
{
	struct mount_table t = { 0 };
	cleanup_free char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	char *save = NULL;
	size_t room = 0;
	int rc = 0;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (t.count == room) {
			room = room ? room * 2 : 64;
			struct mount_point *items = reallocarray(t.items, room, sizeof(*items));
			if (!items) {
				rc = -ENOMEM;
				break;
			}
			t.items = items;
		}
		rc = parse_line(line, &t.items[t.count]);
		if (rc < 0)
			break;
		t.count++;
	}
	if (rc < 0) {
		mount_table_finish(&t);
		return rc;
	}
	*ret = t;
	return 0;
}

int mount_table_read(struct mount_table *ret, struct err *err)
{
	cleanup_file FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return err_sys(err, errno, "overlay: cannot read /proc/self/mountinfo");
	cleanup_free char *text = NULL;
	size_t size = 0;
	errno = 0;
	if (getdelim(&text, &size, '\0', f) < 0)
		return err_sys(err, errno ? errno : EIO,
			       "overlay: cannot read /proc/self/mountinfo");
	int rc = mount_table_parse(text, ret);
	if (rc < 0)
		return err_sys(err, -rc, "overlay: /proc/self/mountinfo makes no sense");
	return 0;
}

uint64_t mount_table_sum(const struct mount_table *t, const char *stage)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < t->count; i++) {
		uint64_t h = 0xcbf29ce484222325u;
		if (path_is_within(t->items[i].path, stage))
			continue;
		for (const char *at = t->items[i].path; *at; at++)
			h = (h ^ (unsigned char)*at) * 0x100000001b3u;
		sum += h ^ h >> 29;
	}
	return sum;
}

void mount_table_finish(struct mount_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->items[i].path);
	free(t->items);
	*t = (struct mount_table){ 0 };
}

int overlay_add_entry(struct overlay *o, enum overlay_entry_kind kind, const char *path,
		      const char *target, mode_t mode)
{
	struct overlay_entry *grown =
		reallocarray(o->entries, o->entry_count + 1, sizeof(*o->entries));
	if (!grown)
		return -ENOMEM;
	o->entries = grown;
	struct overlay_entry *e = &o->entries[o->entry_count];
	*e = (struct overlay_entry){ .kind = kind, .mode = mode, .path = strdup(path) };
	e->target = target ? strdup(target) : NULL;
	o->entry_count++;
	return e->path && (!target || e->target) ? 0 : -ENOMEM;
}

int overlay_add_layer(struct overlay *o, const char *mount, const char *lower, bool read_only,
		      struct err *err)
{
	for (unsigned i = 0; i < o->count; i++)
		if (strcmp(o->layers[i].mount, mount) == 0)
			return 0;
	if (o->count == OVERLAY_LAYERS_MAX)
		return err_set(err, E2BIG,
			       "overlay: more than %d layers are needed, the last for %s: too many "
			       "mounts in directories with many entries; unmount some",
			       OVERLAY_LAYERS_MAX, mount);
	struct overlay_layer *l = &o->layers[o->count];
	*l = (struct overlay_layer){
		.mount = strdup(mount),
		.lower = strdup(lower),
		.upper_fd = -1,
		.mount_fd = -1,
		.read_only = read_only,
	};
	o->count++; /* before the test: overlay_finish frees whichever of the two is there */
	if (!l->mount || !l->lower)
		return err_sys(err, ENOMEM, "overlay");
	return 0;
}

static int add_layer(struct overlay *o, const char *path, bool read_only, struct err *err)
{
	return overlay_add_layer(o, path, path, read_only, err);
}

/* The mount a path walk ends in at this path; NULL when @m is covered by another. */
static bool mount_is_visible(const struct mount_point *m, mode_t *ret_mode)
{
	struct statx sx;
	if (statx(AT_FDCWD, m->path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_TYPE | STATX_MODE | STATX_MNT_ID, &sx) < 0)
		return false; /* behind a directory we may not search, or a dead server: not carried over */
	*ret_mode = sx.stx_mode;
	return !(sx.stx_mask & STATX_MNT_ID) || sx.stx_mnt_id == m->id;
}

int overlay_plan_rootful(const struct mount_table *t, struct overlay *o, struct err *err)
{
	int rc = add_layer(o, "/", false, err);
	for (size_t i = 0; rc == 0 && i < t->count; i++) {
		const struct mount_point *m = &t->items[i];
		mode_t mode;
		if (strcmp(m->path, "/") == 0 || path_is_fresh(m->path) || mount_is_pseudo(t, m) ||
		    !mount_is_visible(m, &mode))
			continue;
		if (S_ISDIR(mode))
			rc = add_layer(o, m->path, m->read_only, err);
		else if (
			S_ISREG(mode)) /* as containers do with /etc/resolv.conf; never sockets, devices */
			rc = overlay_add_entry(o, OVERLAY_ENTRY_BIND, m->path, NULL, mode & 07777);
	}
	return rc;
}

/* Everything a walk needs to know of one directory. */
struct forest {
	const struct mount_table *mounts;
	const bool *carried; /* of each mount: visible, not pseudo, not made afresh */
	struct overlay *o;
	struct err *err;
};

/* The uppermost carried mount at exactly @path; NULL none. */
static const struct mount_point *mount_at(const struct forest *f, const char *path)
{
	for (size_t i = f->mounts->count; i-- > 0;)
		if (f->carried[i] && strcmp(f->mounts->items[i].path, path) == 0)
			return &f->mounts->items[i];
	return NULL;
}

/*
 * Any mount strictly below, pseudo or not: a copied mount tree locks its
 * children, so such a directory can be no lower (EINVAL).
 */
static bool mount_below(const struct forest *f, const char *path)
{
	for (size_t i = 0; i < f->mounts->count; i++) {
		const char *m = f->mounts->items[i].path;
		if (strcmp(m, path) != 0 && path_is_within(m, path))
			return true;
	}
	return false;
}

static bool may(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

mode_t overlay_own_mode(const char *path, mode_t mode)
{
	return (mode & 07077) | (may(path, R_OK) ? 0400u : 0) | (may(path, W_OK) ? 0200u : 0) |
	       (may(path, X_OK) ? 0100u : 0);
}

static bool is_mapped(const struct stat *st)
{
	return st->st_uid == geteuid() && st->st_gid == getegid();
}

/*
 * Nothing below can be changed by the caller, so that a read-only bind says the
 * same as a layer, at native speed and with native owners: what he cannot change at the first
 * level has an owner that is not mapped, and below such a parent no layer takes a
 * change (EOVERFLOW). Only for directories in which no daemon keeps sockets: a
 * bind, unlike an overlay, would let them be reached.
 */
static bool needs_no_layer(const char *path)
{
	if (!may(path, X_OK))
		return true; /* nobody gets in: shown as it is */
	if (may(path, W_OK))
		return false;
	static const char *const system_dirs[] = { "/usr",   "/bin",    "/sbin", "/lib", "/lib32",
						   "/lib64", "/libx32", "/boot", "/etc" };
	bool known = false;
	for (size_t i = 0; i < sizeof(system_dirs) / sizeof(system_dirs[0]); i++)
		known |= strcmp(path, system_dirs[i]) == 0;
	cleanup_dir DIR *d = opendir(path);
	if (!d)
		return false;
	const struct dirent *e;
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!known)
			return false;
		struct stat st;
		if (e->d_type == DT_LNK ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		/* an access list that lets somebody write shows in the group's bits */
		if (st.st_uid == geteuid() ||
		    ((st.st_mode & 022) && faccessat(dirfd(d), e->d_name, W_OK, AT_EACCESS) == 0))
			return false; /* /usr/local handed to a person */
	}
	return true;
}

static int plan_children(const struct forest *f, const char *path, unsigned depth);

static int plan_directory(const struct forest *f, const char *path, const struct stat *st,
			  unsigned depth)
{
	const struct mount_point *m = mount_at(f, path);
	bool pseudo = false;
	for (size_t i = 0; !m && i < f->mounts->count; i++)
		pseudo |= strcmp(f->mounts->items[i].path, path) == 0;
	if (pseudo || path_is_fresh(path))
		return overlay_add_entry(f->o, OVERLAY_ENTRY_DIR, path, NULL, 0555);
	if (mount_below(f, path)) {
		int rc = overlay_add_entry(f->o, OVERLAY_ENTRY_DIR, path, NULL,
					   overlay_own_mode(path, st->st_mode & 07777));
		return rc < 0 ? rc : plan_children(f, path, depth + 1);
	}
	mode_t mode = st->st_mode & 07777;
	int rc = overlay_add_entry(f->o,
				   needs_no_layer(path) ? OVERLAY_ENTRY_BIND : OVERLAY_ENTRY_DIR,
				   path, NULL, mode);
	if (rc < 0 || f->o->entries[f->o->entry_count - 1].kind == OVERLAY_ENTRY_BIND)
		return rc;
	return add_layer(f->o, path, m && m->read_only, f->err);
}

/* A directory that has mounts below it: each thing in it gets what is due to it alone. */
static int plan_children(const struct forest *f, const char *path, unsigned depth)
{
	if (depth > 32)
		return err_set(f->err, ELOOP, "overlay: mounts are nested too deeply at %s", path);
	cleanup_dir DIR *d = opendir(path);
	if (!d)
		return errno == EACCES ? 0
				       : err_sys(f->err, errno, "overlay: cannot list %s", path);
	const struct dirent *e;
	while ((e = readdir(d))) {
		struct stat st;
		char child[PATH_MAX], target[PATH_MAX];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int len = snprintf(child, sizeof(child), "%s/%s", path[1] ? path : "", e->d_name);
		if (len >= (int)sizeof(child) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* vanished meanwhile, or a dead server */
		int rc = 0;
		if (S_ISDIR(st.st_mode)) {
			rc = plan_directory(f, child, &st, depth);
		} else if (S_ISREG(st.st_mode)) {
			rc = overlay_add_entry(f->o, OVERLAY_ENTRY_BIND, child, NULL,
					       st.st_mode & 07777);
		} else if (S_ISLNK(st.st_mode)) {
			ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
			if (n >= 0) {
				target[n] = '\0';
				rc = overlay_add_entry(f->o, OVERLAY_ENTRY_SYMLINK, child, target,
						       0);
			}
		} /* sockets, fifos and devices of the host stay outside */
		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * EOVERFLOW trap: overlayfs copies up a file's parents with their owners, and
 * an owner that the user namespace does not map cannot be given. So a directory the
 * caller can write whose parents belong to somebody else becomes the root of a layer.
 */
static int plan_writable(const struct forest *f, const char *path)
{
	char prefix[PATH_MAX];
	char real[PATH_MAX];
	if (!realpath(path, real) || path_is_fresh(real))
		return 0;
	const char *layer = NULL;
	for (unsigned i = 1; i < f->o->count; i++)
		if (path_is_within(real, f->o->layers[i].mount) &&
		    (!layer || strlen(f->o->layers[i].mount) > strlen(layer)))
			layer = f->o->layers[i].mount;
	if (!layer)
		return 0;
	bool parent_mapped = true; /* the root of a layer is ours whoever owns its lower */
	for (size_t len = strlen(layer); real[len];) {
		len++;
		len += strcspn(real + len, "/");
		memcpy(prefix, real, len);
		prefix[len] = '\0';
		struct stat st;
		if (lstat(prefix, &st) < 0 || !S_ISDIR(st.st_mode))
			return 0;
		bool mapped = is_mapped(&st);
		if (!parent_mapped ? mapped || may(prefix, W_OK) : !mapped && may(prefix, W_OK)) {
			int rc = add_layer(f->o, prefix, false, f->err);
			if (rc < 0)
				return rc;
			mapped = true;
		}
		parent_mapped = mapped;
	}
	return 0;
}

static int compare_layers(const void *a, const void *b)
{
	const struct overlay_layer *l = a, *m = b;
	return strcmp(l->mount, m->mount);
}

int overlay_plan_forest(const struct mount_table *t, const char *const *writable, struct overlay *o,
			struct err *err)
{
	cleanup_free bool *carried = calloc(t->count + 1, sizeof(*carried));
	if (!carried)
		return err_sys(err, ENOMEM, "overlay");
	for (size_t i = 0; i < t->count; i++) {
		mode_t mode;
		const struct mount_point *m = &t->items[i];
		carried[i] = !mount_is_pseudo(t, m) && !path_is_fresh(m->path) &&
			     mount_is_visible(m, &mode);
	}
	struct forest f = { .mounts = t, .carried = carried, .o = o, .err = err };
	int rc = add_layer(o, "/", false, err);
	if (rc == 0)
		rc = plan_children(&f, "/", 0);
	if (rc == 0)
		rc = plan_writable(&f, "/var/tmp");
	for (unsigned i = 0; rc == 0 && writable && writable[i]; i++)
		rc = plan_writable(&f, writable[i]);
	/* parents are mounted before what lies on them */
	qsort(o->layers, o->count, sizeof(o->layers[0]), compare_layers);
	return rc;
}
