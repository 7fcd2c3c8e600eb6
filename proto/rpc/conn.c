/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/conn.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "rpc/unpack.h"
#include "schema/rpc.pb-c.h"

/* Reading: a buffer small enough for a thousand idle connections, large enough that a read
 * takes many small frames; a whole frame must fit, so it grows for large ones, and stays so. */
#define READ_BYTES_HANDSHAKE (RPC_PREFACE_BYTES + RPC_FRAME_HEADER_BYTES + RPC_HELLO_BYTES_MAX)
#define READ_BYTES_MIN (64 * KIB)
#define READ_BYTES_LARGE (256 * KIB)

/* Writing: frames up to COPIED_MAX are copied together, larger ones are written from where they
 * are. */
#define COPIED_BYTES_MAX (8 * KIB)
#define WRITE_BUFFER_BYTES (64 * KIB)
#define WRITE_BYTES_MAX (1 * MIB)

/* How long a finished connection waits for the other side to close. */
enum { LINGER_MS = 500 };

enum conn_state { CONN_HANDSHAKE, CONN_READY, CONN_FINISHING, CONN_CLOSED };

struct rpc_conn {
    struct rpc_loop *loop;
    struct alloc *alloc;
    struct rpc_transport_stream *stream;
    struct rpc_conn_callbacks callbacks;
    struct rpc_conn_options options;
    enum conn_state state;
    bool was_ready;
    bool peer_has_preface;
    bool lingering;   /* FINISHING, and everything is written */
    bool peer_closed; /* FINISHING, and nothing more comes */
    bool ping_under_way;
    struct rpc_hello own_hello;
    struct rpc_hello peer_hello;
    enum status close_status; /* what to tell in on_closed; OK: nothing special yet */
    char close_text[ERROR_TEXT_BYTES];
    char address[80];
    /* read */
    uint8_t *in;
    size_t in_capacity;
    size_t in_begin; /* what is read and not yet parsed is [begin, end) */
    size_t in_end;
    size_t in_wanted;           /* the whole length of the frame that is under way */
    uint64_t frame_since_ns;    /* 0: no frame is under way */
    uint64_t received_since_ns; /* when something was last received */
    /* write */
    struct rpc_out *queue_first;
    struct rpc_out **queue_last;
    size_t queue_bytes;
    struct rpc_out *writing; /* frames that are written from where they are */
    uint8_t *write_buffer;
    size_t write_length;
    uint64_t write_since_ns; /* 0: none is under way, as far as is known */
    struct rpc_late flush;
    /* time */
    struct rpc_timer timer;
    uint64_t handshake_deadline_ns;
    uint64_t linger_deadline_ns;
    uint64_t ready_since_ns;
    struct rpc_event free_event;
};

#define FROM(member, pointer)                                                                      \
    ((struct rpc_conn *)(void *)((char *)(pointer)-offsetof(struct rpc_conn, member)))

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t after_ms(uint64_t since_ns, uint64_t ms)
{
    return since_ns + ms * NS_PER_MS;
}

/* Closing. */

static void free_list(struct rpc_out *out)
{
    while (out != NULL) {
        struct rpc_out *next = out->next;
        rpc_out_free(out);
        out = next;
    }
}

static void conn_free(struct rpc_event *event)
{
    struct rpc_conn *conn = FROM(free_event, event);
    if (conn->flush.queued) {
        /* The end of this turn still refers to it. */
        rpc_loop_post(conn->loop, &conn->free_event);
        return;
    }
    alloc_free(conn->alloc, conn->in);
    alloc_free(conn->alloc, conn->write_buffer);
    alloc_free(conn->alloc, conn);
}

static void note_reason(struct rpc_conn *conn, enum status status, const char *text)
{
    if (conn->close_status == STATUS_OK) {
        conn->close_status = status;
        (void)snprintf(conn->close_text, sizeof conn->close_text, "%s", text);
    }
}

static void close_now(struct rpc_conn *conn)
{
    CHECK(conn->state != CONN_CLOSED);
    conn->state = CONN_CLOSED;
    rpc_timer_cancel(conn->loop, &conn->timer);
    rpc_transport_close(conn->stream);
    conn->stream = NULL;
    free_list(conn->queue_first);
    free_list(conn->writing);
    conn->queue_first = NULL;
    conn->writing = NULL;
    conn->callbacks.on_closed(conn->callbacks.context, conn->close_status, conn->close_text,
                              conn->was_ready);
    rpc_loop_post(conn->loop, &conn->free_event);
}

void rpc_conn_abort(struct rpc_conn *conn, enum status status, const char *text)
{
    if (conn->state != CONN_CLOSED) {
        note_reason(conn, status, text);
        close_now(conn);
    }
}

/* Time. */

static uint64_t next_due(const struct rpc_conn *conn)
{
    if (conn->state == CONN_HANDSHAKE) {
        return conn->handshake_deadline_ns;
    }
    uint64_t due = after_ms(conn->received_since_ns, conn->options.idle_ms);
    if (conn->state == CONN_FINISHING) {
        return earlier(due, conn->linger_deadline_ns);
    }
    if (!conn->ping_under_way) {
        due = earlier(due, after_ms(conn->received_since_ns, conn->options.keepalive_ms));
    }
    if (conn->frame_since_ns != 0) {
        due = earlier(due, after_ms(conn->frame_since_ns, conn->options.frame_ms));
    }
    if (conn->write_since_ns != 0) {
        due = earlier(due, after_ms(conn->write_since_ns, conn->options.idle_ms));
    }
    return due;
}

/* The timer need not move when its time gets later: it looks again when it fires. */
static void watch(struct rpc_conn *conn)
{
    uint64_t due = next_due(conn);
    if (!conn->timer.set || conn->timer.at_ns > due) {
        rpc_timer_set(conn->loop, &conn->timer, due);
    }
}

static void timer_fire(struct rpc_timer *timer)
{
    struct rpc_conn *conn = FROM(timer, timer);
    uint64_t now = rpc_loop_now_ns(conn->loop);
    if (conn->write_since_ns != 0 && rpc_transport_write_idle(conn->stream)) {
        conn->write_since_ns = now; /* long done, but nobody has looked; flush() will */
        rpc_loop_run_late(conn->loop, &conn->flush);
    }
    if (conn->state == CONN_HANDSHAKE) {
        if (now >= conn->handshake_deadline_ns) {
            rpc_conn_abort(conn, STATUS_UNAVAILABLE, "no handshake in time");
            return;
        }
    } else if (conn->state == CONN_FINISHING && now >= conn->linger_deadline_ns) {
        close_now(conn);
        return;
    } else if (now >= after_ms(conn->received_since_ns, conn->options.idle_ms)) {
        rpc_conn_abort(conn, STATUS_UNAVAILABLE, "the other side is silent");
        return;
    } else if (conn->frame_since_ns != 0 &&
               now >= after_ms(conn->frame_since_ns, conn->options.frame_ms)) {
        rpc_conn_refuse(conn, STATUS_INVALID_ARGUMENT, "a frame took too long to arrive");
        return;
    } else if (conn->write_since_ns != 0 &&
               now >= after_ms(conn->write_since_ns, conn->options.idle_ms)) {
        rpc_conn_abort(conn, STATUS_UNAVAILABLE, "the other side does not read");
        return;
    } else if (conn->state == CONN_READY && !conn->ping_under_way &&
               now >= after_ms(conn->received_since_ns, conn->options.keepalive_ms)) {
        conn->ping_under_way = true;
        rpc_conn_send(
            conn, rpc_out_message(conn->alloc, RPC_PING, 0, 0, NULL, conn->options.queued_bytes));
        if (conn->state == CONN_CLOSED) {
            return;
        }
    }
    watch(conn);
}

/* Writing. */

static void begin_linger(struct rpc_conn *conn)
{
    if (conn->peer_closed) {
        close_now(conn);
        return;
    }
    conn->lingering = true;
    conn->linger_deadline_ns = after_ms(rpc_loop_now_ns(conn->loop), LINGER_MS);
    watch(conn);
}

/* Moves frames from the queue into slices of one write. Returns how many slices. */
static unsigned gather(struct rpc_conn *conn, struct slice slices[RPC_TRANSPORT_SLICES_MAX])
{
    unsigned count = 0;
    size_t copied = 0;
    size_t total = 0;
    bool last_is_copied = false;
    while (conn->queue_first != NULL && total < WRITE_BYTES_MAX) {
        struct rpc_out *out = conn->queue_first;
        bool copy = out->length <= COPIED_BYTES_MAX;
        if (copy && out->length > WRITE_BUFFER_BYTES - copied) {
            break;
        }
        bool extend = copy && last_is_copied;
        if (!extend && count == RPC_TRANSPORT_SLICES_MAX) {
            break;
        }
        conn->queue_first = out->next;
        conn->queue_bytes -= out->length;
        total += out->length;
        if (!copy) {
            slices[count++] = slice_of(out->bytes, out->length);
            out->next = conn->writing;
            conn->writing = out;
        } else {
            uint8_t *place = conn->write_buffer + copied;
            memcpy(place, out->bytes, out->length);
            copied += out->length;
            if (extend) {
                slices[count - 1].length += out->length;
            } else {
                slices[count++] = slice_of(place, out->length);
            }
            rpc_out_free(out);
        }
        last_is_copied = copy;
    }
    if (conn->queue_first == NULL) {
        conn->queue_last = &conn->queue_first;
    }
    conn->write_length = total;
    return count;
}

static void flush(struct rpc_late *late)
{
    struct rpc_conn *conn = FROM(flush, late);
    if (conn->state == CONN_CLOSED || !rpc_transport_write_idle(conn->stream)) {
        return;
    }
    bool was_writing = conn->write_since_ns != 0;
    conn->write_since_ns = 0;
    free_list(conn->writing);
    conn->writing = NULL;
    if (conn->queue_first == NULL) {
        if (conn->state == CONN_FINISHING && !conn->lingering) {
            begin_linger(conn); /* may close */
        } else if (was_writing && conn->callbacks.on_written != NULL) {
            conn->callbacks.on_written(conn->callbacks.context);
        }
        return;
    }
    struct slice slices[RPC_TRANSPORT_SLICES_MAX];
    unsigned count = gather(conn, slices);
    CHECK(count > 0);
    conn->write_since_ns = rpc_loop_now_ns(conn->loop);
    if (conn->options.bytes_out != NULL) {
        counter_add(conn->options.bytes_out, conn->write_length);
    }
    if (conn->options.writes != NULL) {
        counter_add(conn->options.writes, 1);
    }
    rpc_transport_write(conn->stream, slices, count);
    if (conn->queue_first != NULL || conn->writing != NULL || conn->state == CONN_FINISHING) {
        /* Not idle as a rule: this asks to be told when it is. A small write that nothing waits
         * for does not wake the loop. */
        rpc_loop_run_late(conn->loop, &conn->flush);
    }
    if (was_writing && conn->callbacks.on_written != NULL) {
        conn->callbacks.on_written(conn->callbacks.context);
    }
}

static void on_write_idle(void *context, enum status status, const char *text)
{
    struct rpc_conn *conn = context;
    if (status != STATUS_OK) {
        rpc_conn_abort(conn, STATUS_UNAVAILABLE, text);
        return;
    }
    rpc_loop_run_late(conn->loop, &conn->flush);
}

static void enqueue(struct rpc_conn *conn, struct rpc_out *out)
{
    out->next = NULL;
    *conn->queue_last = out;
    conn->queue_last = &out->next;
    conn->queue_bytes += out->length;
    rpc_loop_run_late(conn->loop, &conn->flush);
}

void rpc_conn_send(struct rpc_conn *conn, struct rpc_out *out)
{
    if (out == NULL) {
        rpc_conn_abort(conn, STATUS_UNAVAILABLE, "no memory for a frame");
        return;
    }
    if (conn->state != CONN_HANDSHAKE && conn->state != CONN_READY) {
        rpc_out_free(out);
        return;
    }
    /* Replies to one who does not read are bounded by refusing his calls; this is for one whose
     * refusals alone pile up. */
    if (conn->queue_bytes > 2 * conn->options.queued_bytes_max) {
        rpc_out_free(out);
        rpc_conn_abort(conn, STATUS_RESOURCE_EXHAUSTED, "the other side does not read");
        return;
    }
    enqueue(conn, out);
}

void rpc_conn_goaway(struct rpc_conn *conn, enum status status, const char *text)
{
    rpc_conn_send(conn,
                  rpc_out_status(conn->alloc, 0, status, text, (struct rpc_metadata_list){NULL, 0},
                                 conn->options.queued_bytes));
}

void rpc_conn_finish(struct rpc_conn *conn)
{
    if (conn->state == CONN_CLOSED || conn->state == CONN_FINISHING) {
        return;
    }
    note_reason(conn, STATUS_UNAVAILABLE, "closed by this side");
    conn->state = CONN_FINISHING;
    conn->frame_since_ns = 0;
    /* Bounds the time for what is queued; lingering begins anew when it is written. */
    conn->linger_deadline_ns = after_ms(rpc_loop_now_ns(conn->loop), conn->options.frame_ms);
    watch(conn);
    rpc_loop_run_late(conn->loop, &conn->flush);
}

void rpc_conn_refuse(struct rpc_conn *conn, enum status status, const char *text)
{
    if (conn->state == CONN_CLOSED || conn->state == CONN_FINISHING) {
        return;
    }
    note_reason(conn, status, text);
    rpc_conn_goaway(conn, status, text);
    if (conn->state != CONN_CLOSED) {
        rpc_conn_finish(conn);
    }
}

/* Reading. */

static void read_more(struct rpc_conn *conn)
{
    size_t held = conn->in_end - conn->in_begin;
    size_t wanted = conn->state == CONN_HANDSHAKE ? READ_BYTES_HANDSHAKE : READ_BYTES_MIN;
    if (conn->in_wanted > COPIED_BYTES_MAX * 2) {
        wanted = READ_BYTES_LARGE;
    }
    if (wanted < conn->in_wanted) {
        wanted = conn->in_wanted;
    }
    if (conn->in_capacity < wanted) {
        uint8_t *larger = alloc_new(conn->alloc, wanted);
        if (larger == NULL) {
            rpc_conn_abort(conn, STATUS_UNAVAILABLE, "no memory for a read buffer");
            return;
        }
        if (held > 0) {
            memcpy(larger, conn->in + conn->in_begin, held);
        }
        alloc_free(conn->alloc, conn->in);
        conn->in = larger;
        conn->in_capacity = wanted;
    } else if (held > 0) {
        memmove(conn->in, conn->in + conn->in_begin, held);
    }
    conn->in_begin = 0;
    conn->in_end = held;
    rpc_transport_read(conn->stream, conn->in + held, conn->in_capacity - held);
}

static void handle_hello(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    struct error error = ERROR_INIT;
    unsigned version = 0;
    if (frame->kind != RPC_HELLO || frame->call_id != 0) {
        rpc_conn_refuse(conn, STATUS_INVALID_ARGUMENT, "the first frame is no HELLO");
        return;
    }
    enum status status = rpc_hello_decode(frame->body, conn->alloc, &conn->peer_hello, &error);
    if (status == STATUS_OK) {
        status = rpc_hello_check(&conn->own_hello, &conn->peer_hello, &version, &error);
    }
    if (status != STATUS_OK) {
        rpc_conn_refuse(conn, status, error.text);
        return;
    }
    conn->state = CONN_READY;
    conn->was_ready = true;
    conn->ready_since_ns = rpc_loop_now_ns(conn->loop);
    watch(conn);
    conn->callbacks.on_ready(conn->callbacks.context);
}

static void handle_goaway(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    struct error error = ERROR_INIT;
    struct rpc_arena arena;
    rpc_arena_init(&arena, conn->alloc, 1024, rpc_unpack_budget(frame->body.length));
    ProtobufCMessage *message = NULL;
    enum status status = STATUS_UNAVAILABLE;
    char text[ERROR_TEXT_BYTES] = "going away";
    if (rpc_unpack(&estreat__v1__go_away__descriptor, frame->body, &arena, &message, &error) ==
        STATUS_OK) {
        const Estreat__V1__GoAway *goaway = (const Estreat__V1__GoAway *)message;
        if (status_is_known(goaway->code) && goaway->code != STATUS_OK) {
            status = (enum status)goaway->code;
        }
        (void)snprintf(text, sizeof text, "%s", goaway->message);
    }
    rpc_arena_release(&arena);
    if (status != STATUS_UNAVAILABLE || conn->state == CONN_HANDSHAKE) {
        note_reason(conn, status, text);
    }
    if (conn->state == CONN_HANDSHAKE) {
        close_now(conn);
        return;
    }
    if (conn->callbacks.on_goaway != NULL) {
        conn->callbacks.on_goaway(conn->callbacks.context, status, text);
    }
}

static void handle_frame(struct rpc_conn *conn, const struct rpc_frame *frame)
{
    if (frame->kind == RPC_GOAWAY) {
        handle_goaway(conn, frame);
        return;
    }
    if (conn->state == CONN_HANDSHAKE) {
        handle_hello(conn, frame);
        return;
    }
    switch (frame->kind) {
    case RPC_PING:
        if ((frame->flags & RPC_FLAG_ACK) == 0) {
            rpc_conn_send(conn, rpc_out_message(conn->alloc, RPC_PING, RPC_FLAG_ACK, 0, NULL,
                                                conn->options.queued_bytes));
        }
        return;
    case RPC_CALL:
    case RPC_MESSAGE:
    case RPC_STATUS:
    case RPC_CANCEL:
    case RPC_CREDIT:
        conn->callbacks.on_frame(conn->callbacks.context, frame);
        return;
    default:
        rpc_conn_refuse(conn, STATUS_INVALID_ARGUMENT, "a frame of a kind that has no place here");
        return;
    }
}

/* True if the preface was consumed. */
static bool take_preface(struct rpc_conn *conn)
{
    size_t held = conn->in_end - conn->in_begin;
    size_t length = held < RPC_PREFACE_BYTES ? held : RPC_PREFACE_BYTES;
    if (memcmp(conn->in + conn->in_begin, RPC_PREFACE, length) != 0) {
        /* Who speaks something else would not understand a refusal. */
        rpc_conn_abort(conn, STATUS_UNAVAILABLE, "the other side does not speak this protocol");
        return false;
    }
    if (length < RPC_PREFACE_BYTES) {
        return false;
    }
    conn->in_begin += length;
    conn->peer_has_preface = true;
    return true;
}

static void parse(struct rpc_conn *conn)
{
    bool some = false;
    conn->in_wanted = 0;
    if (!conn->peer_has_preface && !take_preface(conn)) {
        return;
    }
    while (conn->state == CONN_HANDSHAKE || conn->state == CONN_READY) {
        struct rpc_frame frame;
        struct error error = ERROR_INIT;
        size_t bytes = 0;
        size_t body_max =
            conn->state == CONN_READY ? conn->options.frame_bytes_max : RPC_HELLO_BYTES_MAX;
        struct slice in = slice_of(conn->in + conn->in_begin, conn->in_end - conn->in_begin);
        enum rpc_parse_result result = rpc_frame_parse(in, body_max, &frame, &bytes, &error);
        if (result == RPC_PARSE_BAD) {
            rpc_conn_refuse(conn, error.status, error.text);
            return;
        }
        if (result == RPC_PARSE_MORE) {
            conn->in_wanted = bytes;
            if (in.length == 0) {
                conn->frame_since_ns = 0;
            } else if (some || conn->frame_since_ns == 0) {
                conn->frame_since_ns = rpc_loop_now_ns(conn->loop);
                watch(conn);
            }
            return;
        }
        some = true;
        conn->in_begin += bytes;
        handle_frame(conn, &frame);
    }
}

static void on_read(void *context, size_t length, enum status status, const char *text)
{
    struct rpc_conn *conn = context;
    if (status != STATUS_OK && conn->state == CONN_FINISHING && !conn->lingering) {
        conn->peer_closed = true; /* it may still read what is queued */
        return;
    }
    if (status != STATUS_OK) {
        rpc_conn_abort(conn, status, text);
        return;
    }
    conn->received_since_ns = rpc_loop_now_ns(conn->loop);
    conn->ping_under_way = false;
    if (conn->options.bytes_in != NULL) {
        counter_add(conn->options.bytes_in, length);
    }
    conn->in_end += length;
    parse(conn);
    if (conn->state == CONN_FINISHING) {
        conn->in_begin = 0;
        conn->in_end = 0;
        conn->in_wanted = 0;
    }
    if (conn->state != CONN_CLOSED) {
        read_more(conn);
    }
}

/* Opening. */

static bool send_hello(struct rpc_conn *conn)
{
    struct rpc_out *preface = rpc_out_new(conn->alloc, 0, conn->options.queued_bytes);
    struct buf body;
    buf_init(&body, conn->alloc, RPC_HELLO_BYTES_MAX);
    rpc_hello_encode(&conn->own_hello, &body);
    struct rpc_out *hello = buf_failed(&body)
                                ? NULL
                                : rpc_out_new(conn->alloc, body.length, conn->options.queued_bytes);
    if (preface == NULL || hello == NULL) {
        rpc_out_free(preface);
        rpc_out_free(hello);
        buf_release(&body);
        return false;
    }
    /* The preface is shorter than a frame, and is counted as it was made. */
    size_t surplus = preface->length - RPC_PREFACE_BYTES;
    preface->length = RPC_PREFACE_BYTES;
    if (preface->queued_bytes != NULL) {
        (void)atomic_fetch_sub(preface->queued_bytes, surplus);
    }
    memcpy(preface->bytes, RPC_PREFACE, RPC_PREFACE_BYTES);
    memcpy(rpc_out_body(hello), body.data, body.length);
    rpc_frame_seal(hello->bytes, body.length, RPC_HELLO, 0, 0);
    buf_release(&body);
    enqueue(conn, preface);
    enqueue(conn, hello);
    return true;
}

struct rpc_conn *rpc_conn_new(struct rpc_transport_stream *stream,
                              const struct rpc_conn_options *options,
                              const struct rpc_conn_callbacks *callbacks)
{
    struct alloc *alloc = rpc_loop_alloc(options->loop);
    struct rpc_conn *conn = alloc_zeroed(alloc, 1, sizeof *conn);
    if (conn == NULL) {
        rpc_transport_close(stream);
        return NULL;
    }
    uint64_t now = rpc_loop_now_ns(options->loop);
    conn->loop = options->loop;
    conn->alloc = alloc;
    conn->stream = stream;
    conn->options = *options;
    conn->callbacks = *callbacks;
    conn->queue_last = &conn->queue_first;
    conn->flush.run = flush;
    conn->timer.fire = timer_fire;
    conn->free_event.run = conn_free;
    conn->received_since_ns = now;
    conn->handshake_deadline_ns = after_ms(now, options->handshake_ms);
    (void)snprintf(conn->address, sizeof conn->address, "%s", rpc_transport_peer(stream));
    rpc_hello_init(&conn->own_hello, options->cluster_id, options->own_id, options->instance,
                   options->frame_bytes_max, rpc_loop_rng(options->loop));
    conn->in_capacity = READ_BYTES_HANDSHAKE;
    conn->in = alloc_new(alloc, conn->in_capacity);
    conn->write_buffer = alloc_new(alloc, WRITE_BUFFER_BYTES);
    if (conn->in == NULL || conn->write_buffer == NULL || !send_hello(conn)) {
        rpc_transport_close(stream);
        alloc_free(alloc, conn->in);
        alloc_free(alloc, conn->write_buffer);
        alloc_free(alloc, conn);
        return NULL;
    }
    struct rpc_transport_callbacks transport = {
        .on_read = on_read, .on_write_idle = on_write_idle, .context = conn};
    rpc_transport_set_callbacks(stream, &transport);
    watch(conn);
    rpc_transport_read(stream, conn->in, conn->in_capacity);
    return conn;
}

const struct rpc_hello *rpc_conn_peer(const struct rpc_conn *conn)
{
    return &conn->peer_hello;
}

const char *rpc_conn_address(const struct rpc_conn *conn)
{
    return conn->address;
}

bool rpc_conn_is_ready(const struct rpc_conn *conn)
{
    return conn->state == CONN_READY;
}

uint64_t rpc_conn_ready_since_ns(const struct rpc_conn *conn)
{
    return conn->ready_since_ns;
}
