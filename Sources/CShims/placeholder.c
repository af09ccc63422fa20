#include "csnap_shims.h"
