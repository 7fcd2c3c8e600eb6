/* SPDX-License-Identifier: Apache-2.0
 *
 * Damage that a compaction meets. It cannot be merged away, and what is lost must be fetched from
 * elsewhere, which is the owner's part. The engine's is that nothing else suffers: the tables that
 * are damaged are found, so that all others are still merged, and are let alone.
 */
#include "base/check.h"
#include "base/log.h"
#include "storage/engine_internal.h"

void engine_suspect(struct suspects *suspects, struct version *version, const struct pick *pick,
                    const struct error *what)
{
    CHECK(suspects->version == NULL);
    version_ref(version);
    *suspects = (struct suspects){.version = version, .pick = *pick, .what = *what};
    suspects->what.status = STATUS_CORRUPT;
}

void engine_suspects_release(struct suspects *suspects)
{
    version_release(suspects->version);
    *suspects = (struct suspects){.version = NULL};
}

void engine_tell_damage(struct engine *engine, const struct error *what)
{
    char quoted[2 * ERROR_TEXT_BYTES];
    log_write("storage", LOG_ERROR, "a table is damaged", "cause=%s",
              log_quote(quoted, sizeof quoted, what->text));
    if (!atomic_exchange(&engine->damage_told, true) && engine->options.on_damage != NULL) {
        engine->options.on_damage(engine->options.context, what);
    }
}

/* Stalls look at the view, which does not know yet what cannot be merged; who waits looks again. */
static enum status renew_view(struct engine *engine, struct error *err)
{
    struct view *next = view_new(engine->alloc);
    if (next == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a view");
    }
    mutex_lock(&engine->mutex);
    struct view *now = atomic_load_explicit(&engine->view, memory_order_relaxed);
    struct view *old = engine_view_replace_locked(engine, next, NULL, NULL, now->version);
    mutex_unlock(&engine->mutex);
    engine_view_retire(engine, old);
    return STATUS_OK;
}

static enum status conclude(struct engine *engine, struct suspects *suspects, struct error *err)
{
    /* Whole on the disk, and yet something came out wrong: whatever it was, what it may have
     * touched is not to be tried for ever. */
    for (size_t i = 0; !suspects->found && i < pick_table_count(&suspects->pick); i++) {
        table_file_note_damage(pick_table_at(suspects->version, &suspects->pick, i));
    }
    enum status status = renew_view(engine, err);
    if (status == STATUS_OK) {
        engine_tell_damage(engine, &suspects->what);
    }
    return status;
}

enum status engine_suspects_step(struct engine *engine, struct suspects *suspects, bool *done,
                                 struct error *err)
{
    CHECK(suspects->version != NULL);
    *done = false;
    if (suspects->next == pick_table_count(&suspects->pick)) {
        enum status status = conclude(engine, suspects, err);
        *done = status == STATUS_OK;
        return status;
    }
    struct table_file *file = pick_table_at(suspects->version, &suspects->pick, suspects->next);
    struct error damage = ERROR_INIT;
    enum status status = engine_verify_table(file, &damage);
    if (status == STATUS_CORRUPT) {
        table_file_note_damage(file);
        suspects->what = suspects->found ? suspects->what : damage;
        suspects->found = true;
    } else if (status != STATUS_OK) {
        if (err != NULL) {
            *err = damage;
        }
        return status;
    }
    suspects->next++;
    return STATUS_OK;
}
