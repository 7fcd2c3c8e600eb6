/* SPDX-License-Identifier: Apache-2.0 */
#define ESTREAT_PLANTS
#include "plants.h"

#include <stdio.h>
#include <string.h>

#include "base/plant.h"

static const struct {
    const char *name;
    const char *what;
} plants[] = {
#define PLANT_ROW(id, name, what) {name, what},
    PLANTS(PLANT_ROW)
#undef PLANT_ROW
};

static int chosen = -1;

bool plant_is_on(enum plant plant)
{
    return chosen == (int)plant;
}

bool plant_choose(const char *name)
{
    for (int i = 0; i < PLANT_COUNT; i++) {
        if (strcmp(plants[i].name, name) == 0) {
            chosen = i;
            return true;
        }
    }
    return false;
}

void plant_list(void)
{
    for (int i = 0; i < PLANT_COUNT; i++) {
        printf("%-20s %s\n", plants[i].name, plants[i].what);
    }
}
