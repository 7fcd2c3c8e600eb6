/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends one event: cc append.c $(pkg-config --cflags --libs estreat)
 */
#include <estreat.h>
#include <stdio.h>

int main(void)
{
    struct estreat_client *client;
    struct estreat_error error;
    struct estreat_appended at;
    struct estreat_new_event event = {.key = estreat_text("account-7"),
                                      .payload = estreat_text("{\"balance\": 10}")};
    if (estreat_open("127.0.0.1:8970", NULL, &client, &error) != ESTREAT_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    if (estreat_append(client, &event, 1, NULL, &at, &error) == ESTREAT_OK) {
        (void)printf("position %llu\n", (unsigned long long)at.position);
    } else {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    estreat_close(client);
    return error.code == ESTREAT_OK ? 0 : 1;
}
