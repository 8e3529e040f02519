/* gpuqueue/version.h - the numbers that decide whether two parts fit together.
 *
 * GQ_VERSION         the release.
 * GQ_API_VERSION     gpuqueue.h and gpuqueue/runtime.h. Grows when a call or a field is added.
 * GQ_LAYOUT_VERSION  gpuqueue/layout.h: the shared bytes of host, worker and device. Equal or refused.
 * GQ_PLUGIN_ABI      gpuqueue/plugin.h: what a compiled plugin image relies on. Equal or refused;
 *                    plugins given as source are simply compiled again.
 *
 * History
 *   0.1.0  API 1, layout 3, plugin ABI 1: the first release.
 */
#ifndef GPUQUEUE_VERSION_H
#define GPUQUEUE_VERSION_H

#define GQ_VERSION "0.1.0"
#define GQ_API_VERSION 1
#define GQ_LAYOUT_VERSION 3
#define GQ_PLUGIN_ABI 1

#endif
