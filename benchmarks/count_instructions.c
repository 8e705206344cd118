/* A plugin for QEMU's user mode: counts the instructions of an emulated program, by the file that they are in.

   At each call of getpriority, which arm64_instructions.py makes before and after what is to be counted, it writes all
   counts to standard error, and after them a line "mark". Only the calls of QEMU's plugin interface that are used here
   are declared (docs: https://www.qemu.org/docs/master/devel/tcg-plugins.html). One thread of the program counts
   exactly; two that run at once may lose counts to each other. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define GETPRIORITY 141 /* on arm64 */
#define MOST_FILES 512
#define NAME 256

struct tb;
struct insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t id, struct tb *block));
void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *block, int add, void *counter, uint64_t by);
void qemu_plugin_register_vcpu_syscall_cb(
    uint64_t id, void (*call)(uint64_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                              uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct tb *block);
struct insn *qemu_plugin_tb_get_insn(const struct tb *block, size_t number);
void *qemu_plugin_insn_haddr(const struct insn *insn);

EXPORT int qemu_plugin_version = 1;

static struct file {
    char name[NAME];
    uint64_t count;
} files[MOST_FILES];
static int known;

static struct file *named(const char *name) {
    for (int i = 0; i < known; i++)
        if (!strcmp(files[i].name, name)) return &files[i];
    if (known == MOST_FILES) return &files[0];
    snprintf(files[known].name, NAME, "%s", name);
    return &files[known++];
}

/* The file that this process has mapped at an address: the program's own mappings are mappings of this process. */
static struct file *file_at(const void *address) {
    static uintptr_t begun, end; /* of the last one that was found */
    static struct file *last;
    uintptr_t place = (uintptr_t)address;
    if (last && place >= begun && place < end) return last;
    char line[1024], name[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    struct file *found = named("unknown");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        name[0] = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %511s", &from, &to, name) >= 2 && place >= from && place < to) {
            found = last = named(name[0] ? name : "unknown"), begun = from, end = to;
            break;
        }
    }
    if (maps) fclose(maps);
    return found;
}

static void translated(uint64_t id, struct tb *block) {
    (void)id;
    struct file *file = file_at(qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(block, 0)));
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &file->count, qemu_plugin_tb_n_insns(block));
}

static void called(uint64_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                   uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != GETPRIORITY) return;
    for (int i = 0; i < known; i++)
        if (files[i].count) fprintf(stderr, "count %llu %s\n", (unsigned long long)files[i].count, files[i].name);
    fprintf(stderr, "mark\n");
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
