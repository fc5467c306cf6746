/* SPDX-License-Identifier: Apache-2.0 */
/* What lwIP asks of the compiler and the platform. Functions are in netstack/lwip/port.c. */
#ifndef LATTICE_LWIP_ARCH_CC_H
#define LATTICE_LWIP_ARCH_CC_H

#include <stddef.h>
#include <stdint.h>

#define PACK_STRUCT_STRUCT __attribute__((packed))

uint32_t lattice_lwip_random(void);
uint16_t lattice_lwip_checksum(const void *data, int len);
void *lattice_lwip_malloc(size_t len);
void *lattice_lwip_calloc(size_t count, size_t len);
void lattice_lwip_free(void *p);
__attribute__((noreturn, cold)) void lattice_lwip_assert(const char *what, const char *file,
                                                         int line);

#define LWIP_RAND()             lattice_lwip_random()
#define LWIP_CHKSUM             lattice_lwip_checksum
#define mem_clib_malloc         lattice_lwip_malloc
#define mem_clib_calloc         lattice_lwip_calloc
#define mem_clib_free           lattice_lwip_free
#define LWIP_PLATFORM_DIAG(x)   ((void)0)
#define LWIP_PLATFORM_ASSERT(x) lattice_lwip_assert((x), __FILE__, __LINE__)

#endif
