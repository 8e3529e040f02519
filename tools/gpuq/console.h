/* console.h - standard error of a run that several threads write to: lines, and one line of progress that is drawn over
 * itself and never left inside another. */
#ifndef GPUQ_CONSOLE_H
#define GPUQ_CONSOLE_H

/* A line, or several; the newline at the end is added. What progress stood there is gone until it is drawn again. */
void gpuq_console_line(const char *text);
/* No more of it than the terminal is wide. */
void gpuq_console_progress(const char *text);
/* Takes the line of progress away. */
void gpuq_console_clear(void);

#endif
