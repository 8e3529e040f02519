/* layout_rows.h - what one compiler makes of gpuqueue/layout.h: two numbers a row, offset and size; a struct's own row
 * has offset 0. layout_fields.inc is made from the header by fields.py. */
#ifndef TEST_LAYOUT_ROWS_H
#define TEST_LAYOUT_ROWS_H

#ifdef __cplusplus
extern "C" {
#endif

struct layout_row {
    const char *name;
    unsigned offset, size;
};

struct layout_table {
    const char *compiler;
    const struct layout_row *rows;
    unsigned count;
};

extern const struct layout_table layout_main, layout_cxx, layout_other;

#ifdef __cplusplus
}
#endif

#endif
