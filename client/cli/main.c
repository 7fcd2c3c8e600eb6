/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

/* Rows are many and small. */
enum { OUTPUT_BUFFER_BYTES = 256 * 1024 };

int main(int argc, char **argv)
{
    static char buffer[OUTPUT_BUFFER_BYTES];
    (void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    return (int)cli_run(argc, argv, stdout, stderr);
}
