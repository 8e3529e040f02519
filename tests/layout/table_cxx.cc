#define TABLE_NAME layout_cxx
#define TABLE_COMPILER "C++17"
#include "layout_table.inc"
