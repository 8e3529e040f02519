/* Any bytes as a golden file: either vectors, or errors. */
#include "fuzz.h"
#include <string.h>
#include "base/assert.h"
#include "config/golden.h"

static void check_vectors(const struct gq_golden *golden)
{
    gq_assert(golden->count > 0);
    for (size_t i = 0; i < golden->count; i++) {
        const struct gq_golden_vector *v = &golden->vectors[i];
        gq_assert(v->name && v->mark.line > 0);
        gq_assert((v->in.data != NULL) == (v->in.len > 0) && (v->out.data != NULL) == (v->out.len > 0));
        for (size_t j = 0; j < i; j++)
            gq_assert(strcmp(v->name, golden->vectors[j].name) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct gq_text errors = {0};
    struct gq_golden *golden = NULL;
    size_t count = 0;
    gq_status status = gq_golden_parse("fuzz.golden.yaml", (const char *)bytes, len, &errors, &count, &golden);
    gq_assert((status == GQ_OK) == (golden != NULL) && (status == GQ_OK) == (count == 0));
    gq_assert((count > 0) == (errors.len > 0));
    if (golden)
        check_vectors(golden);
    gq_golden_destroy(golden);
    gq_text_finish(&errors);
    return 0;
}
