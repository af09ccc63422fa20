/// libFuzzer's driver (compiler-rt, "Using libFuzzer as a library"): it calls `target` with inputs until told to stop.
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *data, size_t size));
