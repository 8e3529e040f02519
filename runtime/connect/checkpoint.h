/* checkpoint.h - how far a run from a file to a file has come, so that one that was killed goes on from there: how much
 * of the source is done with and how long the output was then, in one record.
 *
 *   commit: the output is made durable, then the record that says so is; a record never speaks of bytes that could be
 * lost open:   the newest whole record is where to go on; what the output has beyond it is cut, and made again
 *
 * The file has two places for records, a page each, written in turn: one that was torn leaves the one before. It is
 * locked while a run has it open. A run that begins anew, with an empty output, writes the first record before the file
 * gets its name, and before the output is touched: beside an output with bytes a checkpoint has a whole record, or it
 * is damaged.
 */
#ifndef GQ_CONNECT_CHECKPOINT_H
#define GQ_CONNECT_CHECKPOINT_H

#include <stdint.h>
#include "base/error.h"
#include "config/conf.h"

#define GQ_LIFE_MAX 0x7fffffffu /* as many bits as a letter has for it */

struct gq_checkpoint;

struct gq_checkpoint_mark {
    uint64_t position;  /* bytes of the source that are done with */
    uint64_t records;   /* messages in them */
    uint64_t out_bytes; /* length of the output */
    uint64_t life;      /* since it was begun anew, of 31 bits: what the runs' dead letters bear */
};

/* The file is the sink's path with ".checkpoint" behind it. *from has no more than a life for a run that begins
 * anew. GQ_ERR_FULL: another run has it. GQ_ERR_CONFIG: it was written for another source, or other framings.
 * GQ_ERR_DATA: it has no whole record, and there is something to lose. GQ_ERR_IO. */
gq_status gq_checkpoint_open(const struct gq_conf *conf, struct gq_checkpoint **out, struct gq_checkpoint_mark *from);
/* The output is durable up to mark->out_bytes. GQ_ERR_IO: nobody knows what is on the disk, and the run has to stop;
 * the next one finds out. */
gq_status gq_checkpoint_commit(struct gq_checkpoint *checkpoint, const struct gq_checkpoint_mark *mark);
const char *gq_checkpoint_path(const struct gq_checkpoint *checkpoint);
void gq_checkpoint_close(struct gq_checkpoint *checkpoint); /* takes NULL */

/* Makes what was written to a file durable. The sentence says that the run stops, and that another one goes on. */
gq_status gq_checkpoint_sync(int fd, const char *name);

#endif
