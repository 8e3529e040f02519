/* An nvJitLink that takes what it is given and dies of it, as the real one does of some damaged cubins. */
#include <stddef.h>
#include <stdlib.h>

#define DIES(name)        \
    int name(void *link); \
    int name(void *link)  \
    {                     \
        (void)link;       \
        abort();          \
    }

int nvJitLinkCreate(void **link, unsigned count, const char **options);
int nvJitLinkCreate(void **link, unsigned count, const char **options)
{
    (void)count, (void)options;
    *link = NULL;
    return 0;
}

DIES(nvJitLinkDestroy)
DIES(nvJitLinkAddData)
DIES(nvJitLinkComplete)
DIES(nvJitLinkGetLinkedCubinSize)
DIES(nvJitLinkGetLinkedCubin)
DIES(nvJitLinkGetErrorLogSize)
DIES(nvJitLinkGetErrorLog)
DIES(nvJitLinkGetInfoLogSize)
DIES(nvJitLinkGetInfoLog)
