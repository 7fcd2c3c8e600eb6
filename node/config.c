/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>

#include "base/check.h"
#include "raft/raft.h"

/* More than there are settings. */
enum { SETTINGS_MAX = 64, SETTING_BYTES_MAX = 160 };

struct parse {
    struct config *config;
    struct error *err;
    bool failed;
    bool backup_set;                            /* something of [backup] but dir */
    char seen[SETTINGS_MAX][SETTING_BYTES_MAX]; /* "section.name" of the file's */
    unsigned seen_count;
};

static void set_defaults(struct config *config)
{
    *config = (struct config){
        .heartbeat_ms = 100,
        .election_ms = 600,
        .append_bytes = RAFT_MESSAGE_BYTES_DEFAULT,
        .inflight_bytes = RAFT_INFLIGHT_BYTES_DEFAULT,
        .entry_cache_bytes = RAFT_CACHE_BYTES_DEFAULT,
        .memtable_bytes = 64 * MIB,
        .block_cache_bytes = 64 * MIB,
        .segment_bytes = 64 * MIB,
        .retain_bytes = 4096 * MIB,
        .reserve_bytes = 64 * MIB,
        .io = IO_POSIX,
        .backup = {.bytes_per_second = 64 * MIB},
        .salt = true,
        .log_level = LOG_INFO,
    };
}

static bool fail(struct parse *parse, const char *format, ...) PRINTF_LIKE(2, 3);

static bool fail(struct parse *parse, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)error_set(parse->err, STATUS_INVALID_ARGUMENT, "%s", text);
    parse->failed = true;
    return false;
}

static bool copy_text(struct parse *parse, const char *name, const char *value, char *out,
                      size_t size)
{
    size_t length = strlen(value);
    if (length == 0 || length >= size) {
        return fail(parse, "%s has %zu bytes; 1 to %zu are allowed", name, length, size - 1);
    }
    memcpy(out, value, length + 1);
    return true;
}

static bool copy_number(struct parse *parse, const char *name, const char *value, uint64_t least,
                        uint64_t most, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || !isdigit((unsigned char)value[0]) ||
        number < least || number > most) {
        return fail(parse, "%s = %s is not a number from %lu to %lu", name, value,
                    (unsigned long)least, (unsigned long)most);
    }
    *out = number;
    return true;
}

bool config_is_endpoint(const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    if (colon == NULL || colon == text || !isdigit((unsigned char)colon[1])) {
        return false;
    }
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port > 0 && port <= 65535;
}

/* HOST:PORT; an IPv6 host stands in brackets. */
static bool copy_endpoint(struct parse *parse, const char *name, const char *value, char *out,
                          size_t size)
{
    const char *colon = strrchr(value, ':');
    uint64_t port;
    if (colon == NULL || colon == value) {
        return fail(parse, "%s = %s is not HOST:PORT", name, value);
    }
    return copy_number(parse, name, colon + 1, 0, 65535, &port) &&
           copy_text(parse, name, value, out, size);
}

bool config_is_name(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr("-_.", *text) == NULL) {
            return false;
        }
    }
    return true;
}

static struct config_member *member_named(struct parse *parse, const char *id)
{
    struct config *config = parse->config;
    for (unsigned i = 0; i < config->member_count; i++) {
        if (strcmp(config->members[i].id, id) == 0) {
            return &config->members[i];
        }
    }
    if (config->member_count == MEMBERS_MAX) {
        (void)fail(parse, "more than %lu members", MEMBERS_MAX);
        return NULL;
    }
    struct config_member *member = &config->members[config->member_count];
    if (!config_is_name(id)) {
        (void)fail(parse, "member id %s has other bytes than letters, digits, - _ .", id);
        return NULL;
    }
    if (!copy_text(parse, "a member's id", id, member->id, sizeof member->id)) {
        return NULL;
    }
    config->member_count++;
    return member;
}

static bool set_member(struct parse *parse, const char *id, const char *name, const char *value)
{
    struct config_member *member = member_named(parse, id);
    if (member == NULL) {
        return false;
    }
    if (strcmp(name, "client") == 0) {
        return copy_endpoint(parse, name, value, member->client, sizeof member->client);
    }
    if (strcmp(name, "peer") == 0) {
        return copy_endpoint(parse, name, value, member->peer, sizeof member->peer);
    }
    return fail(parse, "[member.%s] has no setting %s", id, name);
}

static bool set_node(struct parse *parse, const char *name, const char *value)
{
    struct config *config = parse->config;
    if (strcmp(name, "id") == 0) {
        return copy_text(parse, name, value, config->node_id, sizeof config->node_id);
    }
    if (strcmp(name, "data") == 0) {
        return copy_text(parse, name, value, config->data, sizeof config->data);
    }
    if (strcmp(name, "cluster") == 0) {
        return copy_text(parse, name, value, config->cluster, sizeof config->cluster);
    }
    if (strcmp(name, "join") == 0) {
        config->join = strcmp(value, "on") == 0;
        return config->join || strcmp(value, "off") == 0 ||
               fail(parse, "join = %s is neither on nor off", value);
    }
    return fail(parse, "[node] has no setting %s", name);
}

static bool set_milliseconds(struct parse *parse, const char *name, const char *value,
                             uint32_t *out)
{
    uint64_t number = 0;
    if (!copy_number(parse, name, value, 10, 60000, &number)) {
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool set_raft(struct parse *parse, const char *name, const char *value)
{
    if (strcmp(name, "heartbeat_ms") == 0) {
        return set_milliseconds(parse, name, value, &parse->config->heartbeat_ms);
    }
    if (strcmp(name, "election_ms") == 0) {
        return set_milliseconds(parse, name, value, &parse->config->election_ms);
    }
    return fail(parse, "[raft] has no setting %s", name);
}

static bool set_storage(struct parse *parse, const char *name, const char *value)
{
    struct config *config = parse->config;
    const struct {
        const char *name;
        uint64_t *bytes;
        uint64_t least;
        uint64_t most;
    } sizes[] = {
        {"memtable_mib", &config->memtable_bytes, 1, 4096},
        {"block_cache_mib", &config->block_cache_bytes, 1, 65536},
        {"segment_mib", &config->segment_bytes, 4, 1024},
        {"retain_mib", &config->retain_bytes, 16, 1UL << 24},
        {"reserve_mib", &config->reserve_bytes, 1, 1UL << 20},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(name, sizes[i].name) == 0) {
            uint64_t mib = 0;
            if (!copy_number(parse, name, value, sizes[i].least, sizes[i].most, &mib)) {
                return false;
            }
            *sizes[i].bytes = mib * MIB;
            return true;
        }
    }
    if (strcmp(name, "io") == 0) {
        config->io = strcmp(value, "uring") == 0 ? IO_URING : IO_POSIX;
        return config->io == IO_URING || strcmp(value, "posix") == 0 ||
               fail(parse, "io = %s is neither posix nor uring", value);
    }
    return fail(parse, "[storage] has no setting %s", name);
}

static bool set_backup(struct parse *parse, const char *name, const char *value)
{
    struct config_backup *backup = &parse->config->backup;
    const uint64_t seconds_max = UINT64_MAX / NS_PER_S;
    const struct {
        const char *name;
        uint64_t *number;
        uint64_t most;
        uint64_t unit;
    } numbers[] = {
        {"entries", &backup->policy.entries, UINT64_MAX, 1},
        {"age_s", &backup->policy.age_ns, seconds_max, NS_PER_S},
        {"full_every", &backup->policy.full_every, UINT64_MAX, 1},
        {"keep", &backup->policy.keep, UINT64_MAX, 1},
        {"keep_s", &backup->policy.keep_ns, seconds_max, NS_PER_S},
        {"rate_mib", &backup->bytes_per_second, 65536, MIB},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            uint64_t number = 0;
            if (!copy_number(parse, name, value, 1, numbers[i].most, &number)) {
                return false;
            }
            *numbers[i].number = number * numbers[i].unit;
            parse->backup_set = true;
            return true;
        }
    }
    if (strcmp(name, "dir") == 0) {
        return copy_text(parse, name, value, backup->dir, sizeof backup->dir);
    }
    return fail(parse, "[backup] has no setting %s", name);
}

static bool set_log(struct parse *parse, const char *name, const char *value)
{
    struct config *config = parse->config;
    if (strcmp(name, "salt") == 0) {
        config->salt = strcmp(value, "on") == 0;
        return config->salt || strcmp(value, "off") == 0 ||
               fail(parse, "salt = %s is neither on nor off", value);
    }
    if (strcmp(name, "origin") == 0) {
        /* It stands in signed notes, where spaces and "+" part the fields of a key. */
        if (strpbrk(value, " +\t") != NULL) {
            return fail(parse, "origin = %s has a space or a plus sign", value);
        }
        return copy_text(parse, name, value, config->origin, sizeof config->origin);
    }
    return fail(parse, "[log] has no setting %s", name);
}

static bool set(struct parse *parse, const char *section, const char *name, const char *value)
{
    if (strncmp(section, "member.", 7) == 0) {
        return set_member(parse, section + 7, name, value);
    }
    if (strcmp(section, "node") == 0) {
        return set_node(parse, name, value);
    }
    if (strcmp(section, "raft") == 0) {
        return set_raft(parse, name, value);
    }
    if (strcmp(section, "storage") == 0) {
        return set_storage(parse, name, value);
    }
    if (strcmp(section, "backup") == 0) {
        return set_backup(parse, name, value);
    }
    if (strcmp(section, "log") == 0) {
        return set_log(parse, name, value);
    }
    if (strcmp(section, "server") == 0 && strcmp(name, "log_level") == 0) {
        return log_level_parse(value, &parse->config->log_level) ||
               fail(parse, "there is no log level %s", value);
    }
    return fail(parse, "there is no setting [%s] %s", section, name);
}

/* A second value would silently win. */
static bool is_first(struct parse *parse, const char *section, const char *name)
{
    char setting[SETTING_BYTES_MAX];
    (void)snprintf(setting, sizeof setting, "%s.%s", section, name);
    for (unsigned i = 0; i < parse->seen_count; i++) {
        if (strcmp(parse->seen[i], setting) == 0) {
            return fail(parse, "[%s] %s is set twice", section, name);
        }
    }
    if (parse->seen_count < SETTINGS_MAX) {
        memcpy(parse->seen[parse->seen_count++], setting, sizeof setting);
    }
    return true;
}

/* inih's callback: 0 stops, and ini_parse returns the line. */
static int on_setting(void *context, const char *section, const char *name, const char *value)
{
    struct parse *parse = context;
    if (parse->failed) {
        return 1;
    }
    if (!is_first(parse, section, name)) {
        return 0;
    }
    return set(parse, section, name, value) ? 1 : 0;
}

static int by_id(const void *a, const void *b)
{
    const struct config_member *left = a;
    const struct config_member *right = b;
    return strcmp(left->id, right->id);
}

static bool check_members(struct parse *parse)
{
    struct config *config = parse->config;
    bool self = false;
    for (unsigned i = 0; i < config->member_count; i++) {
        const struct config_member *member = &config->members[i];
        if (member->client[0] == '\0' || member->peer[0] == '\0') {
            return fail(parse, "[member.%s] needs both client and peer", member->id);
        }
        self = self || strcmp(member->id, config->node_id) == 0;
        for (unsigned j = 0; j < i; j++) {
            if (config_raft_id(config, i) == config_raft_id(config, j)) {
                return fail(parse, "members %s and %s have the same number; rename one",
                            config->members[j].id, member->id);
            }
        }
    }
    return self ||
           fail(parse, "node id %s has no section [member.%s]", config->node_id, config->node_id);
}

static enum status finish(struct parse *parse, const char *const *overrides,
                          unsigned override_count)
{
    struct config *config = parse->config;
    for (unsigned i = 0; i < override_count && !parse->failed; i++) {
        char text[PATH_BYTES_MAX];
        if (!copy_text(parse, "--set", overrides[i], text, sizeof text)) {
            break;
        }
        char *equals = strchr(text, '=');
        /* Member ids may hold dots, so the name is what follows the last one. */
        char *dot = NULL;
        if (equals != NULL) {
            *equals = '\0';
            dot = strrchr(text, '.');
        }
        if (dot == NULL || dot == text) {
            (void)fail(parse, "--set %s is not section.name=value", overrides[i]);
            break;
        }
        *dot = '\0';
        (void)set(parse, text, dot + 1, equals + 1);
    }
    if (!parse->failed && config->node_id[0] == '\0') {
        (void)fail(parse, "[node] id is missing");
    }
    if (!parse->failed && config->data[0] == '\0') {
        (void)fail(parse, "[node] data is missing");
    }
    if (!parse->failed && config->cluster[0] == '\0') {
        (void)fail(parse, "[node] cluster is missing");
    }
    if (!parse->failed && config->election_ms < 3 * config->heartbeat_ms) {
        (void)fail(parse, "[raft] election_ms must be at least three times heartbeat_ms");
    }
    if (!parse->failed && parse->backup_set && config->backup.dir[0] == '\0') {
        (void)fail(parse, "[backup] dir is missing");
    }
    if (!parse->failed && config->origin[0] == '\0') {
        memcpy(config->origin, config->cluster, sizeof config->origin);
        if (strpbrk(config->origin, " +\t") != NULL) {
            (void)fail(parse, "cluster = %s has a space or a plus sign; set [log] origin",
                       config->cluster);
        }
    }
    if (!parse->failed) {
        qsort(config->members, config->member_count, sizeof config->members[0], by_id);
        (void)check_members(parse);
    }
    return parse->failed ? STATUS_INVALID_ARGUMENT : STATUS_OK;
}

enum status config_load(const char *path, const char *const *overrides, unsigned override_count,
                        struct config *out, struct error *err)
{
    struct config config;
    struct parse parse = {.config = &config, .err = err};
    set_defaults(&config);
    errno = 0;
    int line = ini_parse(path, on_setting, &parse);
    if (line < 0) {
        return error_set_errno(err, errno == 0 ? EIO : errno, "configuration %s", path);
    }
    if (line > 0) {
        if (!parse.failed) {
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "%s:%d: neither a [section] nor name = value", path, line);
        }
        return error_wrap(err, "%s:%d", path, line);
    }
    enum status status = finish(&parse, overrides, override_count);
    if (status != STATUS_OK) {
        return error_wrap(err, "%s", path);
    }
    *out = config;
    return STATUS_OK;
}

static bool default_data_dir(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length = -1;
    if (state != NULL && state[0] == '/') {
        length = snprintf(out, size, "%s/estreat", state);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(out, size, "%s/.local/state/estreat", home);
    }
    return length > 0 && (size_t)length < size;
}

enum status config_dev(const char *data, const char *const *overrides, unsigned override_count,
                       struct config *out, struct error *err)
{
    struct config config;
    struct parse parse = {.config = &config, .err = err};
    set_defaults(&config);
    (void)snprintf(config.node_id, sizeof config.node_id, "dev");
    (void)snprintf(config.cluster, sizeof config.cluster, "estreat-dev");
    config.member_count = 1;
    (void)snprintf(config.members[0].id, sizeof config.members[0].id, "dev");
    (void)snprintf(config.members[0].client, sizeof config.members[0].client, "127.0.0.1:8970");
    (void)snprintf(config.members[0].peer, sizeof config.members[0].peer, "127.0.0.1:8971");
    if (data != NULL) {
        (void)copy_text(&parse, "--data", data, config.data, sizeof config.data);
    } else if (!default_data_dir(config.data, sizeof config.data)) {
        (void)fail(&parse, "neither XDG_STATE_HOME nor HOME is set; give --data DIR");
    }
    enum status status =
        parse.failed ? STATUS_INVALID_ARGUMENT : finish(&parse, overrides, override_count);
    if (status == STATUS_OK) {
        *out = config;
    }
    return status;
}

unsigned config_self(const struct config *config)
{
    for (unsigned i = 0; i < config->member_count; i++) {
        if (strcmp(config->members[i].id, config->node_id) == 0) {
            return i;
        }
    }
    CHECK(!"a checked configuration has this node among its members");
    return 0;
}

uint64_t raft_id_of(const char *member_id)
{
    uint64_t number = 0xcbf29ce484222325ULL;
    for (const char *at = member_id; *at != '\0'; at++) {
        number = (number ^ (uint8_t)*at) * 0x100000001b3ULL;
    }
    return number == 0 ? 1 : number; /* 0 means nobody */
}

uint64_t config_raft_id(const struct config *config, unsigned member)
{
    CHECK(member < config->member_count);
    return raft_id_of(config->members[member].id);
}
