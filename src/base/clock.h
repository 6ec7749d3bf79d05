/* The three clocks. Any thread.
 *
 * Leases live on CLOCK_BOOTTIME: it goes on while the machine is suspended, as SQS does. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_boot_ms(void);       /* CLOCK_BOOTTIME: leases, timers' deadlines */
int64_t clock_mono_us(void);       /* CLOCK_MONOTONIC: durations */
int64_t clock_wall_ms(void);       /* CLOCK_REALTIME: what people and SQS read */
int64_t clock_thread_cpu_us(void); /* CPU of the calling thread; 16 times dearer than mono */

/* RFC 3339 with milliseconds in UTC, 24 characters and a NUL. */
void clock_format(int64_t wall_ms, char out[25]);

#endif
