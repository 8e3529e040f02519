#include "build/entry.h"
#include <stdlib.h>
#include <string.h>

/* The file: head, then plugin and log (each with its NUL), header digests, header paths, object. `sum` is the SHA-256
 * of all that follows it. Written and read by one release on one machine: `format` changes when the layout does. */
struct head {
    char format[16];
    uint8_t sum[32];
    struct gq_cpu_image info;
    char digest[GQ_DIGEST_HEX];
    char pad[7];
    uint64_t plugin_len, log_len, headers_len, object_len;
    uint64_t header_count;
};

static const char format[16] = "gpuqueue cache2";
#define SUMMED_FROM offsetof(struct head, info)

void gq_entry_pack(const struct gq_entry *e, struct gq_text *out)
{
    struct head head;
    memset(&head, 0, sizeof head); /* padding is summed too */
    memcpy(head.format, format, sizeof format);
    head.info = e->info;
    head.info.run = NULL;
    head.info.migrate = NULL;
    memcpy(head.digest, e->digest, sizeof head.digest);
    head.plugin_len = strlen(e->plugin) + 1;
    head.log_len = strlen(e->log) + 1;
    head.headers_len = e->headers_len;
    head.object_len = e->object_len;
    head.header_count = e->header_count;
    gq_text_add(out, &head, sizeof head);
    gq_text_add(out, e->plugin, head.plugin_len);
    gq_text_add(out, e->log, head.log_len);
    gq_text_add(out, e->header_digests, (size_t)e->header_count * 32);
    gq_text_add(out, e->headers, e->headers_len);
    gq_text_add(out, e->object, e->object_len);
    if (!out->failed)
        gq_digest_bytes(out->data + SUMMED_FROM, out->len - SUMMED_FROM,
                        (uint8_t *)out->data + offsetof(struct head, sum));
}

/* The next `len` bytes, or NULL when there are not so many. */
static const void *take(const char **at, const char *end, uint64_t len)
{
    const char *start = *at;
    if (len > (uint64_t)(end - start))
        return NULL;
    *at = start + len;
    return start;
}

static const char *take_string(const char **at, const char *end, uint64_t len)
{
    const char *s = take(at, end, len);
    return s && len > 0 && s[len - 1] == '\0' && strlen(s) == len - 1 ? s : NULL;
}

static bool sum_holds(const void *bytes, size_t len, const struct head *head)
{
    uint8_t sum[32];
    gq_digest_bytes((const char *)bytes + SUMMED_FROM, len - SUMMED_FROM, sum);
    return memcmp(sum, head->sum, sizeof sum) == 0;
}

bool gq_entry_unpack(const void *bytes, size_t len, struct gq_entry *out)
{
    struct head head;
    if (len < sizeof head)
        return false;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.format, format, sizeof format) != 0 || !sum_holds(bytes, len, &head) ||
        head.header_count > GQ_ENTRY_HEADERS_MAX)
        return false;
    const char *at = (const char *)bytes + sizeof head, *end = (const char *)bytes + len;
    *out = (struct gq_entry){
        .info = head.info, .header_count = (uint32_t)head.header_count, .headers_len = head.headers_len};
    memcpy(out->digest, head.digest, sizeof out->digest);
    out->plugin = take_string(&at, end, head.plugin_len);
    out->log = out->plugin ? take_string(&at, end, head.log_len) : NULL;
    out->header_digests = out->log ? take(&at, end, head.header_count * 32) : NULL;
    out->headers = out->header_digests ? take(&at, end, head.headers_len) : NULL;
    out->object = out->headers ? take(&at, end, head.object_len) : NULL;
    out->object_len = head.object_len;
    return out->object && at == end;
}
