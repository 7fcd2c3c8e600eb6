/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules for reads, over a model that holds in itself.
 */
#ifndef ESTREAT_HISTORY_CHECK_READS_H
#define ESTREAT_HISTORY_CHECK_READS_H

#include "model.h"

/* read-future, read-prefix, read-recent. False: the model's violation is filled. */
bool check_reads(const struct model *model);

#endif
