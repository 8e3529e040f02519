/* address.h - where control sockets lie: ${XDG_RUNTIME_DIR}/gpuqueue/NAME-PID.sock, without that variable
 * ${TMPDIR:-/tmp}/gpuqueue-UID/NAME-PID.sock, or where the pipeline file says. */
#ifndef GQ_CONTROL_ADDRESS_H
#define GQ_CONTROL_ADDRESS_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>
#include "base/error.h"
#include "base/text.h"

struct gq_address {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int listener; /* -1: none */
    int folder;
    gid_t group;  /* whose members the file's mode lets in */
    dev_t device; /* of the file that we made: another one in its place is not ours to remove */
    ino_t inode;
};

/* A listening socket of mode 0660 at `chosen`, whose folder is there, or for `name` in this user's own folder when that
 * is NULL; this one is made if it is missing, mode 0700. What a dead process left is replaced; what a living one
 * serves, or is no socket, is refused. It appears under its name when it can be connected to, not before. */
gq_status gq_address_open(const char *chosen, const char *name, struct gq_address *out);
/* Closes it and removes the file, if it is still ours. Takes one that was not opened. */
void gq_address_close(struct gq_address *a);

/* A connection to the socket at `path`, at most `timeout_ms` waited for. */
gq_status gq_address_connect(const char *path, uint32_t timeout_ms, int *fd);
/* A connection to the only pipeline that runs with a socket in this user's own folders. GQ_ERR_UNAVAILABLE if none
 * does, GQ_ERR_INVALID_ARG with their sockets if several do. */
gq_status gq_address_find(struct gq_text *path, int *fd);

#endif
