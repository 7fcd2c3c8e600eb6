/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions that have no safe use here. Naming one after this header is an error.
 */
#ifndef ESTREAT_BASE_BANNED_H
#define ESTREAT_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison sprintf vsprintf strcpy strcat strncpy strncat strtok atoi atol atoll gets

#endif
