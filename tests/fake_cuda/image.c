/* What an image tells of itself. */
#include "fake.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

size_t fake_image_bytes(const void *image)
{
    Elf64_Ehdr head;
    memcpy(&head, image, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return 0;
    size_t sections = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize;
    size_t segments = head.e_phoff + (size_t)head.e_phnum * head.e_phentsize;
    return sections > segments ? sections : segments;
}

/* A plugin of tests/fault/poison.h has a variable that is called after its tag. */
int fake_image_tag(const void *image)
{
    static const char name[] = "poison_tag_";
    const char *found = memmem(image, fake_image_bytes(image), name, sizeof name - 1);
    return found ? atoi(found + sizeof name - 1) : -1;
}
