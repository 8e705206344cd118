/* The interface between TFLite and an external delegate, as far as strict_delegate.c looks at it.

   It is declared here from its documentation, under names of our own; members that are only passed by have their place
   and no more. The layout is that of TFLite 2.14 and of LiteRT 2, on 64 bits. A delegate begins with `DelegateHead`. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OK = 0, ERROR = 1 };
enum { INT8 = 9 }; /* of a tensor's types */
enum { CONCATENATION = 2, DEPTH_TO_SPACE = 5, RESHAPE = 22, CUSTOM = 32 }; /* of the operators */

typedef struct { int size; int data[]; } Ints;
typedef struct { float scale; int32_t zero_point; } Quantization;

typedef struct {
    int type;
    void *data;
    Ints *dims;
    Quantization quantization;
    int allocation;
    size_t bytes;
    const void *memory;
    const char *name;
    void *delegate;
    int handle;
    bool stale, variable;
    struct { int type; void *parameters; } quantization_by_channel;
    void *sparsity;
    const Ints *signature;
} Tensor;

typedef struct {
    Ints *inputs, *outputs, *intermediates, *temporaries;
    void *user_data, *builtin_data;
    const void *custom_data;
    int custom_size;
    void *delegate;
    bool side_effects;
} Node;

typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct { Delegate *delegate; Ints *nodes, *inputs, *outputs; } Parameters; /* what a kernel is made from */

typedef struct {
    void *(*init)(Context *, const char *buffer, size_t length);
    void (*free)(Context *, void *kernel);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external;
    void *(*async_kernel)(Context *, Node *);
    uint64_t in_place;
} Registration;

struct Context {
    size_t tensors_size;
    int (*get_execution_plan)(Context *, Ints **);
    Tensor *tensors;
    void *implementation;
    int (*resize_tensor)(Context *, Tensor *, Ints *);
    void (*report_error)(Context *, const char *format, ...);
    int (*add_tensors)(Context *, int, int *);
    int (*get_node)(Context *, int, Node **, Registration **);
    int (*replace_nodes)(Context *, Registration, const Ints *, Delegate *);
    int threads; /* and more, which is not looked at */
};

typedef struct {
    void *data;
    int (*prepare)(Context *, Delegate *);
    void *copy_from_handle, *copy_to_handle, *free_handle;
    int64_t flags;
    void *opaque_builder;
} DelegateHead;
