/* SPDX-License-Identifier: Apache-2.0
 *
 * The version of the whole: programs, library and CMake's project() agree on it.
 */
#ifndef ESTREAT_BASE_VERSION_H
#define ESTREAT_BASE_VERSION_H

#define ESTREAT_VERSION "0.1.0"

#endif
