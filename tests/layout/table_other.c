#define TABLE_NAME layout_other
#define TABLE_COMPILER "C11, the other compiler"
#include "layout_table.inc"
