/* SPDX-License-Identifier: Apache-2.0
 *
 * Plants: which bug of base/plant.h this run has. One for the whole process.
 */
#ifndef ESTREAT_TESTS_SIM_PLANTS_H
#define ESTREAT_TESTS_SIM_PLANTS_H

#include <stdbool.h>

/* False if there is none of that name. */
bool plant_choose(const char *name);

/* Prints "NAME  what is wrong" for each. */
void plant_list(void);

#endif
