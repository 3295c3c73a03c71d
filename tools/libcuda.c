/* A libcuda without a GPU: what the runner calls of the driver, with the driver's rules and none of its work.
 *
 * "Device" memory is ordinary memory. What is put on a stream is done when the stream is waited for, in order, and not
 * before, so that a result read too early is wrong. Calls without a current context fail as the driver's do. What the
 * driver would let pass or punish by a crash (memory freed under a copy, things left when the context goes) is written
 * down, for stub_problems(). Contexts are per thread, as in the driver.
 *
 * It proves the logic of the caller and nothing of CUDA or TensorRT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
typedef unsigned long long Address;
typedef void (*HostFunction)(void *);

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       INVALID_HANDLE = 400, NOT_FOUND = 500, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
enum { BLOCKS = 512, STREAMS = 16, OPERATIONS = 4096, GRAPHS = 64, DEPTH = 16, TEXT = 1 << 16 };

typedef struct { char *begin; size_t size; int pinned, live; } Block;
typedef struct { void *target; const void *source; size_t size; HostFunction function; void *argument; } Operation;
typedef struct { int live, capturing, invalid, count; Operation queue[OPERATIONS]; } Stream;
typedef struct { int live, executable, count; Operation *operations; } Graph;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int devices, primary, generation;
static int primary_context; /* its address is the handle */
static Block blocks[BLOCKS];
static Stream streams[STREAMS];
static Graph graphs[GRAPHS];
static char problems[TEXT], calls[TEXT], failing[64];
static int fail_code, fail_after;
static __thread void *stack[DEPTH];
static __thread int depth, stack_generation;

/* --- for the tests --------------------------------------------------------------------------------------------- */

static void append(char *text, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, TEXT - used, format, arguments);
    va_end(arguments);
}

/* As after a boot, with so many GPUs. */
void stub_reset(int count) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BLOCKS; i++) free(blocks[i].begin);
    for (int i = 0; i < GRAPHS; i++) free(graphs[i].operations);
    memset(blocks, 0, sizeof blocks);
    memset(streams, 0, sizeof streams);
    memset(graphs, 0, sizeof graphs);
    problems[0] = calls[0] = failing[0] = 0;
    devices = count;
    primary = 0;
    generation++;
    pthread_mutex_unlock(&lock);
}

/* Let the call of this name fail with this code, once it has succeeded `after` times. */
void stub_fail(const char *name, int code, int after) {
    pthread_mutex_lock(&lock);
    snprintf(failing, sizeof failing, "%s", name);
    fail_code = code;
    fail_after = after;
    pthread_mutex_unlock(&lock);
}

const char *stub_problems(void) { return problems; }
const char *stub_calls(void) { return calls; }

/* What is not released: references to the context, blocks, streams and graphs. */
int stub_held(void) {
    int held = primary;
    for (int i = 0; i < BLOCKS; i++) held += blocks[i].live;
    for (int i = 0; i < STREAMS; i++) held += streams[i].live;
    for (int i = 0; i < GRAPHS; i++) held += graphs[i].live;
    return held;
}

int stub_depth(void) { return stack_generation == generation ? depth : 0; }

/* --- within ---------------------------------------------------------------------------------------------------- */

static Result enter(const char *name) {
    append(calls, "%s\n", name);
    if (strcmp(name, failing) == 0 && fail_after-- <= 0) return fail_code;
    return OK;
}

static int has_context(const char *name) {
    if (stack_generation == generation && depth && primary) return 1;
    append(problems, "%s without a current context\n", name);
    return 0;
}

/* Begin a call; leave it with `return leave(code)`. */
#define BEGIN(name) do { pthread_mutex_lock(&lock); Result e = enter(name); if (e) return leave(e); } while (0)
#define BEGIN_WITH_CONTEXT(name) \
    do { BEGIN(name); if (!has_context(name)) return leave(INVALID_CONTEXT); } while (0)

static Result leave(Result code) {
    pthread_mutex_unlock(&lock);
    return code;
}

static Block *block_of(const void *begin, size_t size, int pinned) {
    for (int i = 0; i < BLOCKS; i++) {
        Block *b = &blocks[i];
        if (b->live && b->pinned == pinned && (char *)begin >= b->begin && (char *)begin + size <= b->begin + b->size)
            return b;
    }
    return NULL;
}

static int within(const void *at, const Block *b) { return (char *)at >= b->begin && (char *)at < b->begin + b->size; }

static Result allocate(void **result, size_t size, int pinned) {
    for (int i = 0; i < BLOCKS; i++)
        if (!blocks[i].begin) {
            /* Never given out twice, so that whatever still reads a freed block is caught and does no harm. */
            blocks[i] = (Block){malloc(size), size, pinned, 1};
            memset(blocks[i].begin, 0xA5, size);
            *result = blocks[i].begin;
            return OK;
        }
    return OUT_OF_MEMORY;
}

static Result release(const char *name, void *begin, int pinned) {
    for (int i = 0; i < BLOCKS; i++) {
        Block *b = &blocks[i];
        if (!b->live || b->begin != begin || b->pinned != pinned) continue;
        for (int s = 0; s < STREAMS; s++)
            for (int k = 0; k < streams[s].count; k++)
                if (within(streams[s].queue[k].target, b) || within(streams[s].queue[k].source, b))
                    append(problems, "%s of memory that a copy is under way with\n", name);
        b->live = 0;
        return OK;
    }
    append(problems, "%s of memory that is not allocated\n", name);
    return INVALID_VALUE;
}

static Stream *stream_of(void *handle) {
    size_t index = (size_t)handle - 1;
    return index < STREAMS && streams[index].live ? &streams[index] : NULL;
}

static Result put(const char *name, void *handle, Operation operation) {
    Stream *s = stream_of(handle);
    if (!s) {
        append(problems, "%s on a stream that is gone\n", name);
        return INVALID_HANDLE;
    }
    if (s->count == OPERATIONS) return OUT_OF_MEMORY;
    s->queue[s->count++] = operation;
    return OK;
}

/* Do what is queued, without the lock: functions of the host may take their time and make calls. */
static void drain(Stream *s) {
    Operation *queue = malloc(sizeof s->queue);
    int count = s->count;
    memcpy(queue, s->queue, count * sizeof *queue);
    s->count = 0;
    pthread_mutex_unlock(&lock);
    for (int k = 0; k < count; k++) {
        if (queue[k].function) queue[k].function(queue[k].argument);
        else memcpy(queue[k].target, queue[k].source, queue[k].size);
    }
    pthread_mutex_lock(&lock);
    free(queue);
}

/* --- devices and contexts -------------------------------------------------------------------------------------- */

Result cuInit(unsigned flags) { BEGIN("cuInit"); (void)flags; return leave(devices ? OK : NO_DEVICE); }
Result cuDriverGetVersion(int *version) { *version = 12060; return OK; }
Result cuDeviceGetCount(int *count) { *count = devices; return OK; }
Result cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal < devices ? OK : INVALID_DEVICE;
}
Result cuDeviceGetName(char *name, int size, int device) { (void)device; snprintf(name, size, "Stub"); return OK; }
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : 0; /* compute capability 8.7 */
    return OK;
}

Result cuGetErrorString(Result error, const char **text) {
    static __thread char buffer[32];
    snprintf(buffer, sizeof buffer, "stub error %d", error);
    *text = buffer;
    return OK;
}

Result cuDevicePrimaryCtxRetain(void **context, int device) {
    BEGIN("cuDevicePrimaryCtxRetain");
    (void)device;
    primary++;
    *context = &primary_context;
    return leave(OK);
}

Result cuDevicePrimaryCtxRelease_v2(int device) {
    BEGIN("cuDevicePrimaryCtxRelease");
    (void)device;
    if (!primary) return leave(INVALID_CONTEXT);
    if (--primary == 0 && stub_held())
        append(problems, "the context was released with %d things left in it\n", stub_held());
    return leave(OK);
}

Result cuCtxPushCurrent_v2(void *context) {
    BEGIN("cuCtxPushCurrent");
    if (!primary || context != &primary_context) return leave(INVALID_CONTEXT);
    if (stack_generation != generation) depth = 0, stack_generation = generation;
    if (depth == DEPTH) return leave(OUT_OF_MEMORY);
    stack[depth++] = context;
    return leave(OK);
}

Result cuCtxPopCurrent_v2(void **context) {
    BEGIN("cuCtxPopCurrent");
    if (!stub_depth()) return leave(INVALID_CONTEXT);
    *context = stack[--depth];
    return leave(OK);
}

Result cuCtxGetCurrent(void **context) { *context = stub_depth() ? stack[depth - 1] : NULL; return OK; }

/* --- memory ---------------------------------------------------------------------------------------------------- */

Result cuMemAlloc_v2(Address *result, size_t size) {
    BEGIN_WITH_CONTEXT("cuMemAlloc");
    return leave(allocate((void **)result, size, 0));
}

Result cuMemFree_v2(Address address) {
    BEGIN_WITH_CONTEXT("cuMemFree");
    return leave(release("cuMemFree", (void *)address, 0));
}

Result cuMemHostAlloc(void **result, size_t size, unsigned flags) {
    BEGIN_WITH_CONTEXT("cuMemHostAlloc");
    (void)flags;
    return leave(allocate(result, size, 1));
}

Result cuMemFreeHost(void *pointer) {
    BEGIN_WITH_CONTEXT("cuMemFreeHost");
    return leave(release("cuMemFreeHost", pointer, 1));
}

Result cuMemcpyHtoDAsync_v2(Address target, const void *source, size_t size, void *stream) {
    BEGIN_WITH_CONTEXT("cuMemcpyHtoDAsync");
    if (!block_of((void *)target, size, 0)) return leave(INVALID_VALUE);
    if (!block_of(source, size, 1)) append(problems, "cuMemcpyHtoDAsync from memory that is not pinned\n");
    return leave(put("cuMemcpyHtoDAsync", stream, (Operation){(void *)target, source, size, NULL, NULL}));
}

Result cuMemcpyDtoHAsync_v2(void *target, Address source, size_t size, void *stream) {
    BEGIN_WITH_CONTEXT("cuMemcpyDtoHAsync");
    if (!block_of((void *)source, size, 0)) return leave(INVALID_VALUE);
    if (!block_of(target, size, 1)) append(problems, "cuMemcpyDtoHAsync to memory that is not pinned\n");
    return leave(put("cuMemcpyDtoHAsync", stream, (Operation){target, (void *)source, size, NULL, NULL}));
}

/* --- streams and graphs ---------------------------------------------------------------------------------------- */

Result cuStreamCreate(void **stream, unsigned flags) {
    BEGIN_WITH_CONTEXT("cuStreamCreate");
    (void)flags;
    for (size_t i = 0; i < STREAMS; i++)
        if (!streams[i].live) {
            memset(&streams[i], 0, sizeof streams[i]);
            streams[i].live = 1;
            *stream = (void *)(i + 1);
            return leave(OK);
        }
    return leave(OUT_OF_MEMORY);
}

Result cuStreamDestroy_v2(void *stream) {
    BEGIN_WITH_CONTEXT("cuStreamDestroy");
    Stream *s = stream_of(stream);
    if (!s) return leave(INVALID_HANDLE);
    if (s->count) append(problems, "a stream was destroyed with %d operations under way\n", s->count);
    s->live = s->count = 0;
    return leave(OK);
}

Result cuStreamSynchronize(void *stream) {
    BEGIN_WITH_CONTEXT("cuStreamSynchronize");
    Stream *s = stream_of(stream);
    if (!s) return leave(INVALID_HANDLE);
    if (s->capturing) {
        s->invalid = 1;
        return leave(CAPTURE_UNSUPPORTED);
    }
    drain(s);
    return leave(OK);
}

Result cuLaunchHostFunc(void *stream, HostFunction function, void *argument) {
    BEGIN_WITH_CONTEXT("cuLaunchHostFunc");
    return leave(put("cuLaunchHostFunc", stream, (Operation){NULL, NULL, 0, function, argument}));
}

Result cuStreamBeginCapture_v2(void *stream, int mode) {
    BEGIN_WITH_CONTEXT("cuStreamBeginCapture");
    (void)mode;
    Stream *s = stream_of(stream);
    if (!s || s->capturing || s->count) return leave(INVALID_VALUE);
    s->capturing = 1;
    s->invalid = 0;
    return leave(OK);
}

static Result new_graph(void **result, const Operation *operations, int count, int executable) {
    for (size_t i = 0; i < GRAPHS; i++)
        if (!graphs[i].live) {
            free(graphs[i].operations);
            graphs[i] = (Graph){1, executable, count, malloc(count * sizeof *operations + 1)};
            memcpy(graphs[i].operations, operations, count * sizeof *operations);
            *result = (void *)(i + 1);
            return OK;
        }
    return OUT_OF_MEMORY;
}

static Graph *graph_of(void *handle, int executable) {
    size_t index = (size_t)handle - 1;
    return index < GRAPHS && graphs[index].live && graphs[index].executable == executable ? &graphs[index] : NULL;
}

Result cuStreamEndCapture(void *stream, void **graph) {
    BEGIN_WITH_CONTEXT("cuStreamEndCapture");
    Stream *s = stream_of(stream);
    if (!s || !s->capturing) return leave(INVALID_VALUE);
    int count = s->count;
    s->capturing = s->count = 0;
    *graph = NULL;
    if (s->invalid) return leave(CAPTURE_INVALIDATED);
    return leave(new_graph(graph, s->queue, count, 0));
}

Result cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    BEGIN_WITH_CONTEXT("cuGraphInstantiate");
    (void)flags;
    Graph *g = graph_of(graph, 0);
    return leave(g ? new_graph(executable, g->operations, g->count, 1) : INVALID_HANDLE);
}

Result cuGraphLaunch(void *executable, void *stream) {
    BEGIN_WITH_CONTEXT("cuGraphLaunch");
    Graph *g = graph_of(executable, 1);
    if (!g) return leave(INVALID_HANDLE);
    Result result = OK;
    for (int k = 0; k < g->count && !result; k++) result = put("cuGraphLaunch", stream, g->operations[k]);
    return leave(result);
}

static Result drop_graph(void *handle, int executable) {
    Graph *g = graph_of(handle, executable);
    if (!g) return INVALID_HANDLE;
    g->live = 0;
    return OK;
}

Result cuGraphDestroy(void *graph) { BEGIN("cuGraphDestroy"); return leave(drop_graph(graph, 0)); }
Result cuGraphExecDestroy(void *graph) { BEGIN_WITH_CONTEXT("cuGraphExecDestroy"); return leave(drop_graph(graph, 1)); }

/* --- how cuda-python finds functions --------------------------------------------------------------------------- */

Result cuGetProcAddress_v2(const char *name, void **pointer, int version, unsigned long long flags, int *status) {
    static const char *const suffixes[] = {"_v3", "_v2", ""};
    (void)version, (void)flags;
    Dl_info self;
    dladdr((void *)cuGetProcAddress_v2, &self);
    void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    *pointer = NULL;
    for (int i = 0; i < 3 && !*pointer; i++) {
        char versioned[128];
        snprintf(versioned, sizeof versioned, "%s%s", name, suffixes[i]);
        *pointer = library ? dlsym(library, versioned) : NULL;
    }
    if (!*pointer && strcmp(name, "cuGraphInstantiate") == 0) *pointer = (void *)cuGraphInstantiateWithFlags;
    if (status) *status = *pointer ? 0 : 1;
    return *pointer ? OK : NOT_FOUND;
}
