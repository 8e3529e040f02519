/* worker.h - the worker process: owns the device, holds nothing that cannot be replaced. */
#ifndef GQ_WORKER_WORKER_H
#define GQ_WORKER_WORKER_H

/* Serves requests on descriptor 3 until the host says stop or is gone. Returns an exit code. */
int gq_worker_main(char *role);

#endif
