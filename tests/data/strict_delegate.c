/* An external delegate for TFLite that is strict about its interface; tests/support/delegates.py builds it.

   It takes the nodes of a model that only move int8 values about (RESHAPE, CONCATENATION, DEPTH_TO_SPACE, and the
   custom operator strict-copy, which no runtime knows), computes them itself, and writes to a file what is asked of it,
   and each rule that is broken as a line "VIOLATION ...".

   The interface is TFLite's for external delegates: two functions, found by name, and the structs that they and the
   runtime hand to each other (tflite_interface.h). `check_layout` holds these against the model's own tensors before
   anything else is believed.

   Options (all optional):
     log      file to append to
     take     "moves": the nodes above (default); "nothing"
     level    a whole number from 0 to 9; it changes nothing, and is here to be checked
     refuse   a sentence: it reports that and does not come to be
     fail     "prepare": refuses the graph; "kernel": refuses its tensors, when they are allocated; "run": fails when it
              runs; "later": when it runs for the second time */

#include "tflite_interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 }; /* delegates alive at once; nodes in one kernel */

struct Delegate {
    DelegateHead head; /* the runtime's; the rest is ours */
    FILE *log;
    int id, prepared, kernels; /* kernels: alive now */
    bool preparing, take_nothing, fail_prepare, fail_kernel;
    int runs_left; /* before it fails; less than 0: it does not */
};

typedef struct { int operator, axis; Ints *inputs; int output; } Move;

typedef struct {
    Delegate *delegate;
    int moves_size, buffers_size;
    Move moves[MOST];
    void **buffers; /* by tensor: of those that pass between two of our own nodes, for which nobody else allocates */
    bool ready;
} Kernel;

static Delegate *alive[MOST];
static int made;

#define LOG(delegate, ...) \
    do { if ((delegate)->log) { fprintf((delegate)->log, __VA_ARGS__); fputc('\n', (delegate)->log); \
         fflush((delegate)->log); } } while (0)
#define RULE(delegate, holds, what) \
    do { if (!(holds)) LOG(delegate, "VIOLATION %d: %s", (delegate)->id, what); } while (0)

static size_t elements(const Tensor *tensor) {
    size_t count = 1;
    for (int i = 0; i < tensor->dims->size; i++) count *= tensor->dims->data[i];
    return count;
}

/* Whether the structs above are the runtime's: every int8 tensor of the model has as many bytes as elements. Those
   without a name are the runtime's scratch. */
static bool check_layout(const Context *context) {
    int seen = 0;
    for (size_t i = 0; i < context->tensors_size; i++) {
        const Tensor *tensor = &context->tensors[i];
        if (tensor->type != INT8 || !tensor->name) continue;
        if (!tensor->dims || tensor->bytes != elements(tensor)) return false;
        seen++;
    }
    return seen > 0;
}

/* ---- the kernel: one for each part of the graph that we have taken ---- */

static void *kernel_init(Context *context, const char *buffer, size_t length) {
    const Parameters *parameters = (const Parameters *)buffer;
    Delegate *delegate = parameters->delegate;
    Kernel *kernel = calloc(1, sizeof *kernel);
    RULE(delegate, delegate->preparing, "a kernel is made outside of prepare");
    RULE(delegate, length == 0, "a kernel's parameters have a length");
    kernel->delegate = delegate;
    kernel->buffers_size = (int)context->tensors_size;
    kernel->buffers = calloc(context->tensors_size, sizeof *kernel->buffers);
    RULE(delegate, parameters->nodes->size <= MOST, "more nodes in a row than it can take");
    for (int i = 0; i < parameters->nodes->size && i < MOST; i++) {
        Node *node;
        Registration *registration;
        Move *move = &kernel->moves[kernel->moves_size++];
        if (context->get_node(context, parameters->nodes->data[i], &node, &registration) != OK) return NULL;
        move->operator = registration->builtin_code;
        move->axis = move->operator == CONCATENATION ? *(int *)node->builtin_data : 0;
        move->output = node->outputs->data[0];
        size_t bytes = sizeof(Ints) + node->inputs->size * sizeof(int);
        move->inputs = memcpy(malloc(bytes), node->inputs, bytes);
    }
    delegate->kernels++;
    LOG(delegate, "kernel %d: %d nodes", delegate->id, kernel->moves_size);
    return kernel;
}

static void kernel_free(Context *context, void *data) {
    Kernel *kernel = data;
    (void)context;
    RULE(kernel->delegate, kernel->delegate->kernels > 0, "a kernel is freed twice");
    kernel->delegate->kernels--;
    LOG(kernel->delegate, "kernel freed %d", kernel->delegate->id);
    for (int i = 0; i < kernel->moves_size; i++) free(kernel->moves[i].inputs);
    for (int i = 0; i < kernel->buffers_size; i++) free(kernel->buffers[i]);
    free(kernel->buffers);
    free(kernel);
}

static int kernel_prepare(Context *context, Node *node) {
    Kernel *kernel = node->user_data;
    RULE(kernel->delegate, node->delegate == kernel->delegate, "a kernel's node is not its delegate's");
    if (kernel->delegate->fail_kernel) {
        context->report_error(context, "strict delegate: no room for these tensors");
        return ERROR;
    }
    for (int i = 0; i < kernel->moves_size; i++) {
        int output = kernel->moves[i].output;
        bool leaves = false;
        for (int k = 0; k < node->outputs->size; k++) leaves |= node->outputs->data[k] == output;
        if (!leaves && !kernel->buffers[output]) kernel->buffers[output] = malloc(context->tensors[output].bytes);
    }
    kernel->ready = true;
    return OK;
}

static char *values(Context *context, Kernel *kernel, int tensor) {
    return kernel->buffers[tensor] ? kernel->buffers[tensor] : context->tensors[tensor].data;
}

static void concatenate(Context *context, Kernel *kernel, const Move *move) {
    const Tensor *joined = &context->tensors[move->output];
    char *to = values(context, kernel, move->output);
    int axis = move->axis < 0 ? move->axis + joined->dims->size : move->axis;
    size_t rows = 1;
    for (int i = 0; i < axis; i++) rows *= joined->dims->data[i];
    for (size_t row = 0; row < rows; row++)
        for (int i = 0; i < move->inputs->size; i++) {
            int input = move->inputs->data[i];
            size_t part = context->tensors[input].bytes / rows;
            memcpy(to, values(context, kernel, input) + row * part, part);
            to += part;
        }
}

static void depth_to_space(Context *context, Kernel *kernel, const Move *move) {
    const int *in = context->tensors[move->inputs->data[0]].dims->data;
    const int *out = context->tensors[move->output].dims->data;
    const char *from = values(context, kernel, move->inputs->data[0]);
    char *to = values(context, kernel, move->output);
    int block = out[1] / in[1];
    for (int n = 0; n < out[0]; n++)
        for (int y = 0; y < out[1]; y++)
            for (int x = 0; x < out[2]; x++) {
                size_t cell = ((size_t)n * in[1] + y / block) * in[2] + x / block;
                memcpy(to, from + cell * in[3] + (y % block * block + x % block) * out[3], out[3]);
                to += out[3];
            }
}

static int kernel_invoke(Context *context, Node *node) {
    Kernel *kernel = node->user_data;
    RULE(kernel->delegate, kernel->ready, "a kernel runs before it is prepared");
    if (kernel->delegate->runs_left >= 0 && kernel->delegate->runs_left-- == 0) {
        context->report_error(context, "strict delegate: the accelerator is gone");
        return ERROR;
    }
    for (int i = 0; i < kernel->moves_size; i++) {
        const Move *move = &kernel->moves[i];
        if (move->operator == CONCATENATION) concatenate(context, kernel, move);
        else if (move->operator == DEPTH_TO_SPACE) depth_to_space(context, kernel, move);
        else memcpy(values(context, kernel, move->output), values(context, kernel, move->inputs->data[0]),
                    context->tensors[move->output].bytes);
    }
    LOG(kernel->delegate, "run %d", kernel->delegate->id);
    return OK;
}

/* ---- the delegate ---- */

/* Whether a node does nothing but move int8 values that mean the same before and after. */
static bool only_moves(const Context *context, const Node *node, const Registration *registration) {
    int operator = registration->builtin_code;
    bool ours = operator == CUSTOM && registration->custom_name && !strcmp(registration->custom_name, "strict-copy");
    if (operator != RESHAPE && operator != CONCATENATION && operator != DEPTH_TO_SPACE && !ours) return false;
    const Tensor *to = &context->tensors[node->outputs->data[0]];
    for (int i = 0; i < (operator == CONCATENATION ? node->inputs->size : 1); i++) {
        const Tensor *from = &context->tensors[node->inputs->data[i]];
        if (from->type != INT8 || from->quantization.scale != to->quantization.scale ||
            from->quantization.zero_point != to->quantization.zero_point)
            return false;
    }
    return to->type == INT8;
}

static int prepare(Context *context, Delegate *delegate) {
    Ints *plan;
    RULE(delegate, ++delegate->prepared == 1, "prepare is called a second time");
    if (!context || !context->tensors_size || !check_layout(context)) {
        LOG(delegate, "VIOLATION %d: the context is not laid out as it should be", delegate->id);
        return ERROR;
    }
    if (delegate->fail_prepare) {
        context->report_error(context, "strict delegate: this graph is not for me");
        return ERROR;
    }
    if (context->get_execution_plan(context, &plan) != OK) return ERROR;
    int nodes = plan->size;
    Ints *taken = calloc(1, sizeof(Ints) + nodes * sizeof(int));
    for (int i = 0; i < nodes && !delegate->take_nothing; i++) {
        Node *node;
        Registration *registration;
        if (context->get_node(context, plan->data[i], &node, &registration) != OK) return ERROR;
        if (only_moves(context, node, registration)) taken->data[taken->size++] = plan->data[i];
    }
    LOG(delegate, "prepare %d: %d of %d nodes, %d threads", delegate->id, taken->size, nodes, context->threads);
    Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare,
                           .invoke = kernel_invoke, .custom_name = "StrictDelegate", .version = 1};
    delegate->preparing = true;
    int status = taken->size ? context->replace_nodes(context, kernel, taken, delegate) : OK;
    delegate->preparing = false;
    free(taken);
    return status;
}

/* One option; NULL where it is right, else what is wrong with it. */
static const char *set_option(Delegate *delegate, const char *key, const char *value) {
    if (!strcmp(key, "log")) {
        delegate->log = fopen(value, "a");
        return delegate->log ? NULL : "cannot be opened";
    }
    if (!strcmp(key, "take")) {
        delegate->take_nothing = !strcmp(value, "nothing");
        return delegate->take_nothing || !strcmp(value, "moves") ? NULL : "expected moves or nothing";
    }
    if (!strcmp(key, "fail")) {
        delegate->fail_prepare = !strcmp(value, "prepare");
        delegate->fail_kernel = !strcmp(value, "kernel");
        delegate->runs_left = !strcmp(value, "run") ? 0 : !strcmp(value, "later") ? 1 : -1;
        return delegate->fail_prepare || delegate->fail_kernel || delegate->runs_left >= 0 ? NULL : "unknown failure";
    }
    if (!strcmp(key, "level"))
        return strlen(value) == 1 && value[0] >= '0' && value[0] <= '9' ? NULL : "expected a whole number from 0 to 9";
    return strcmp(key, "refuse") ? "unknown option" : value;
}

static Delegate *discard(Delegate *delegate) {
    if (delegate->log) fclose(delegate->log);
    free(delegate);
    return NULL;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **options, size_t count, void (*report)(const char *)) {
    Delegate *delegate = calloc(1, sizeof *delegate);
    int place = 0;
    delegate->runs_left = -1;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = set_option(delegate, keys[i], options[i]);
        if (!wrong) continue;
        char sentence[256];
        snprintf(sentence, sizeof sentence, "option %s: %s", keys[i], wrong);
        report(sentence);
        LOG(delegate, "refused");
        return discard(delegate);
    }
    while (place < MOST && alive[place]) place++;
    if (place == MOST) {
        report("too many delegates at once");
        return discard(delegate);
    }
    alive[place] = delegate;
    delegate->id = ++made;
    delegate->head.prepare = prepare;
    delegate->head.flags = 1; /* else the runtime prepares all nodes itself first, and knows no strict-copy */
    LOG(delegate, "create %d", delegate->id);
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
    int place = 0;
    if (!delegate) return; /* that is allowed: the runtimes destroy what did not come to be, too */
    while (place < MOST && alive[place] != delegate) place++;
    if (place == MOST) {
        fprintf(stderr, "strict delegate: destroyed twice, or never made\n");
        abort(); /* its memory is gone: there is no log to write to */
    }
    alive[place] = NULL;
    LOG(delegate, "destroy %d", delegate->id);
    RULE(delegate, delegate->kernels == 0, "destroyed before the interpreter that uses it");
    if (delegate->kernels == 0) discard(delegate); /* else the interpreter will still come here */
}
