#define TABLE_NAME layout_main
#define TABLE_COMPILER "C11, the compiler of this build"
#include "layout_table.inc"
