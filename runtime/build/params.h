/* params.h - the values of stages[].params, as the plugin's compile-time constants. */
#ifndef GQ_BUILD_PARAMS_H
#define GQ_BUILD_PARAMS_H

#include "build/scan.h"

/* Appends one `#define GQ_PARAM_name 0,(value)` line for each. GQ_ERR_CONFIG for one that the plugin does not name with
 * GQ_PARAM: a line for each lists those it does, and the nearest. */
gq_status gq_params_define(const struct gq_build_request *request, const struct gq_scan *scan, struct gq_text *out);

#endif
