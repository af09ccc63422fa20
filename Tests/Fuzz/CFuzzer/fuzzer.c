#include "csnap_fuzzer.h"
