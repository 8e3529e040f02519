/* plugin_verbs.h - what `gpuq plugin` can do. Each verb returns an exit code. */
#ifndef GPUQ_PLUGIN_VERBS_H
#define GPUQ_PLUGIN_VERBS_H

#include "plugin_args.h"

int plugin_check(const struct plugin_args *args);
int plugin_build(const struct plugin_args *args);
int plugin_inspect(const struct plugin_args *args);
int plugin_pin(const struct plugin_args *args);
int plugin_run(const struct plugin_args *args);
int plugin_test(const struct plugin_args *args);

/* Prints the last error's sentence to standard error, and with --json the object to standard output; returns its exit
 * code. */
int plugin_complain(const struct plugin_args *args, gq_status status);

#endif
