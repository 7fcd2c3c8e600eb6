/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_pins.h"

#include <stdlib.h>

#include "base/check.h"
#include "node/seal.h"
#include "node/snapshot.h"

#define HASH_STEP_BYTES (1 * MIB)

_Static_assert(HASH_STEP_BYTES <= SNAPSHOT_PIECE_BYTES_MAX, "a step fits the buffer");

enum status snapshot_pins_init(struct snapshot_pins *pins, struct alloc *alloc, struct clock *clock,
                               struct engine *engine, struct error *err)
{
    *pins = (struct snapshot_pins){.alloc = alloc, .clock = clock, .engine = engine};
    return hasher_init(&pins->hasher, err);
}

void snapshot_pins_release(struct snapshot_pins *pins)
{
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        CHECK(pins->of[i].id == 0);
    }
    hasher_release(&pins->hasher);
    alloc_free(pins->alloc, pins->known);
}

static uint64_t now(const struct snapshot_pins *pins)
{
    return clock_monotonic_ns(pins->clock);
}

/* --- pins --------------------------------------------------------------------------------- */

static void let_go(struct snapshot_pins *pins, struct snapshot_pin *pin)
{
    if (pins->hashing == pin) {
        pins->hashing = NULL;
    }
    checkpoint_release(pin->checkpoint);
    alloc_free(pins->alloc, pin->sums);
    *pin = (struct snapshot_pin){.id = 0};
}

uint64_t snapshot_pins_least_index(const struct snapshot_pins *pins, uint64_t within_ns)
{
    uint64_t now_ns = clock_monotonic_ns(pins->clock);
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        if (pins->of[i].id != 0 && now_ns < pins->of[i].used_ns + within_ns &&
            pins->of[i].index < least) {
            least = pins->of[i].index;
        }
    }
    return least;
}

bool snapshot_pins_let_go(struct snapshot_pins *pins, uint64_t idle_ns)
{
    bool pinned = false;
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct snapshot_pin *pin = &pins->of[i];
        if (pin->id != 0 && now(pins) - pin->used_ns >= idle_ns) {
            let_go(pins, pin);
        }
        pinned = pinned || pin->id != 0;
    }
    if (!pinned) {
        alloc_free(pins->alloc, pins->piece);
        pins->piece = NULL;
    }
    return pinned;
}

struct snapshot_pin *snapshot_pins_find(struct snapshot_pins *pins, uint64_t id)
{
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX && id != 0; i++) {
        if (pins->of[i].id == id) {
            pins->of[i].used_ns = now(pins);
            return &pins->of[i];
        }
    }
    return NULL;
}

struct snapshot_pin *snapshot_pins_reaching(struct snapshot_pins *pins, uint64_t least_index)
{
    struct snapshot_pin *best = NULL;
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct snapshot_pin *pin = &pins->of[i];
        if (pin->id != 0 && pin->index >= least_index &&
            (best == NULL || pin->index > best->index)) {
            best = pin;
        }
    }
    return best == NULL ? NULL : snapshot_pins_find(pins, best->id);
}

/* A free place, or that of the one that was asked about the longest ago. */
static struct snapshot_pin *place_for_pin(struct snapshot_pins *pins)
{
    struct snapshot_pin *place = &pins->of[0];
    for (unsigned i = 1; i < SNAPSHOT_PINS_MAX; i++) {
        struct snapshot_pin *pin = &pins->of[i];
        if (place->id != 0 && (pin->id == 0 || pin->used_ns < place->used_ns)) {
            place = pin;
        }
    }
    let_go(pins, place);
    return place;
}

static enum status fill_pin(struct snapshot_pins *pins, struct snapshot_pin *pin,
                            struct checkpoint *checkpoint, const struct seal *seal,
                            struct error *err)
{
    size_t count = checkpoint_file_count(checkpoint);
    struct snapshot_sum *sums = alloc_zeroed(pins->alloc, count, sizeof *sums);
    if (pins->piece == NULL) {
        pins->piece = alloc_new(pins->alloc, SNAPSHOT_PIECE_BYTES_MAX);
    }
    if (sums == NULL || pins->piece == NULL || count > SNAPSHOT_FILES_MAX) {
        alloc_free(pins->alloc, sums);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    }
    *pin = (struct snapshot_pin){.id = ++pins->last_id,
                                 .checkpoint = checkpoint,
                                 .index = seal->index,
                                 .term = seal->term,
                                 .size = seal->size,
                                 .used_ns = now(pins),
                                 .sums = sums,
                                 .file_count = count};
    for (size_t i = 0; i < count; i++) {
        struct checkpoint_file file;
        checkpoint_file_at(checkpoint, i, &file);
        memcpy(sums[i].name, file.name, sizeof sums[i].name);
        pin->total_bytes += file.bytes;
    }
    return STATUS_OK;
}

enum status snapshot_pins_take(struct snapshot_pins *pins, uint64_t least_index,
                               struct snapshot_pin **out, struct error *err)
{
    struct checkpoint *checkpoint = NULL;
    struct seal seal;
    *out = NULL;
    enum status status = checkpoint_take(pins->engine, &checkpoint, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct slice state = checkpoint_state(checkpoint);
    status = seal_decode(state, &seal, err);
    if (status == STATUS_OK && state.length > 0 && seal.index >= least_index) {
        struct snapshot_pin *place = place_for_pin(pins);
        status = fill_pin(pins, place, checkpoint, &seal, err);
        if (status == STATUS_OK) {
            *out = place;
            return STATUS_OK;
        }
    }
    checkpoint_release(checkpoint);
    return status;
}

/* --- hashing ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct snapshot_sum *)a)->name, ((const struct snapshot_sum *)b)->name);
}

/* Keeps the hashes for the next checkpoint. Without memory they are made again. */
static void remember(struct snapshot_pins *pins, const struct snapshot_pin *pin)
{
    struct snapshot_sum *known = alloc_zeroed(pins->alloc, pin->file_count, sizeof *known);
    size_t count = 0;
    for (size_t i = 0; known != NULL && i < pin->file_count; i++) {
        struct checkpoint_file file;
        checkpoint_file_at(pin->checkpoint, i, &file);
        if (file.immutable) {
            known[count++] = pin->sums[i];
        }
    }
    if (known != NULL) {
        qsort(known, count, sizeof *known, compare_names);
        alloc_free(pins->alloc, pins->known);
        pins->known = known;
        pins->known_count = count;
    }
}

static bool is_known(struct snapshot_pins *pins, struct snapshot_sum *sum)
{
    const struct snapshot_sum *found =
        pins->known_count == 0
            ? NULL
            : bsearch(sum, pins->known, pins->known_count, sizeof *sum, compare_names);
    if (found != NULL) {
        sum->sum = found->sum;
    }
    return found != NULL;
}

static enum status hash_on(struct snapshot_pins *pins, struct snapshot_pin *pin, struct error *err)
{
    struct checkpoint_file file;
    checkpoint_file_at(pin->checkpoint, pin->summed, &file);
    if (pins->hashing != pin) {
        pin->offset = 0; /* another one was hashed in between */
        pins->hashing = pin;
    }
    if (pin->offset == 0) {
        if (file.immutable && is_known(pins, &pin->sums[pin->summed])) {
            pin->summed++;
            return STATUS_OK;
        }
        hash_begin(&pins->hasher);
    }
    uint64_t left = file.bytes - pin->offset;
    size_t length = left < HASH_STEP_BYTES ? (size_t)left : HASH_STEP_BYTES;
    enum status status =
        checkpoint_read(pin->checkpoint, pin->summed, pin->offset, pins->piece, length, err);
    if (status != STATUS_OK) {
        return status;
    }
    hash_more(&pins->hasher, slice_of(pins->piece, length));
    pin->offset += length;
    if (pin->offset == file.bytes) {
        /* A table that has rotten has a hash as well. Who pulls it would find that out, but only
         * when it has all of them, and this node would never know. */
        status = checkpoint_verify(pin->checkpoint, pin->summed, err);
        if (status != STATUS_OK) {
            return status;
        }
        pin->sums[pin->summed++].sum = hash_end(&pins->hasher);
        pin->offset = 0;
    }
    if (pin->summed == pin->file_count) {
        remember(pins, pin);
    }
    return STATUS_OK;
}

enum status snapshot_pins_hash(struct snapshot_pins *pins, bool *more, struct error *err)
{
    *more = false;
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct snapshot_pin *pin = &pins->of[i];
        if (pin->id == 0 || snapshot_pin_is_hashed(pin)) {
            continue;
        }
        enum status status = hash_on(pins, pin, err);
        if (status != STATUS_OK) {
            let_go(pins, pin);
        }
        *more = true;
        return status;
    }
    return STATUS_OK;
}
