/* plugin_unit.h - the end of a plugin's unit that is compiled by itself and linked with the template: what the plugin
 * may call, and what the template calls. Compiling a small plugin so takes a tenth of the time that it takes with the
 * template.
 */
#include <gpuqueue/plugin.h>
#include <device/image_cuda.h>
#include <device/seam.h>

__device__ __forceinline__ uint32_t gq_rank(void)
{
    return gq_scope::kind == GQ_SCOPE_KIND_thread ? 0 : threadIdx.x % gq_scope::threads;
}

__device__ __forceinline__ uint32_t gq_size(void) { return gq_scope::threads; }

__device__ __forceinline__ void gq_sync(void)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_KIND_warp)
        __syncwarp();
    else if constexpr (gq_scope::kind == GQ_SCOPE_KIND_block)
        __syncthreads();
}

__device__ __forceinline__ void *gq_state(uint32_t bytes)
{
    return gq_state_declared::bytes > 0 && bytes <= gq_state_declared::bytes ? gq_seam_state() : nullptr;
}

extern "C" __device__ uint32_t gq_seam_call(const uint8_t *in, uint32_t in_len, uint64_t id, uint8_t *out, uint32_t cap,
                                            uint32_t *out_len)
{
    uint32_t raw = 0;
    if constexpr (gq_migration::value)
        if (cap == GQ_SEAM_MIGRATE) {
            gq_migrate(in, in_len, (uint32_t)id, out);
            return 0;
        }
    ResultView result = {out, cap, gq_scope::kind == GQ_SCOPE_KIND_thread ? &raw : out_len};
#if GQ_IMAGE_KIND == 0
    const MsgView view = {in, in_len, id};
    process_message(view, &result);
#else
    generate_message(id, &result);
#endif
    return raw;
}
