/* Any bytes as a line of the control protocol: either a record, which is written as it was read, or an error. */
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "control/record.h"

static struct gq_text copy_of(const void *bytes, size_t len)
{
    struct gq_text t = {0};
    gq_text_add(&t, bytes, len);
    gq_assert(!t.failed);
    return t;
}

static void write_record(const struct gq_record *r, struct gq_text *out)
{
    gq_text_puts(out, r->word);
    for (size_t i = 0; i < r->count; i++)
        gq_record_string(out, r->field[i].name, r->field[i].value);
}

/* Every value comes back, and no byte of the line could end it or move a cursor. */
static void check_written(const struct gq_record *r)
{
    struct gq_text line = {0}, json = {0};
    struct gq_record again;
    write_record(r, &line);
    for (size_t i = 0; i < line.len; i++)
        gq_assert((unsigned char)line.data[i] >= 0x20 && line.data[i] != 0x7f);
    gq_status status = gq_record_parse(line.data, line.len, &again);
    gq_assert(status == GQ_OK && again.count == r->count && strcmp(again.word, r->word) == 0);
    for (size_t i = 0; i < r->count; i++)
        gq_assert(strcmp(gq_record_value(&again, r->field[i].name), r->field[i].value) == 0);
    gq_record_members(r, &json);
    for (size_t i = 0; i < json.len; i++)
        gq_assert((unsigned char)json.data[i] >= 0x20);
    gq_text_finish(&line);
    gq_text_finish(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct gq_text line = copy_of(bytes, len);
    struct gq_record record;
    gq_error_clear();
    gq_status status = gq_record_parse(line.data, line.len, &record);
    gq_assert((status == GQ_OK) == (*gq_error_text() == '\0'));
    gq_assert(record.count <= GQ_RECORD_FIELDS_MAX);
    if (status == GQ_OK)
        check_written(&record);
    gq_text_finish(&line);
    return 0;
}
