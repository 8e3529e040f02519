/* crc32c.cu - the CRC-32C (Castagnoli, as in iSCSI and ext4) of each message, as eight hex digits.
 * Four tables let one step take in four bytes ("slicing by 4"); the compiler computes them.
 *
 * Parameters
 *   uppercase  true: digits A to F instead of a to f */
#include <gpuqueue/plugin.h>

/* value[k][b] is the CRC register after the byte b and then k zero bytes. */
struct CrcTables {
    uint32_t value[4][256];
    constexpr CrcTables() : value()
    {
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t crc = b;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0); /* 0x1edc6f41, bits reversed */
            value[0][b] = crc;
        }
        for (uint32_t b = 0; b < 256; b++)
            for (int k = 1; k < 4; k++)
                value[k][b] = (value[k - 1][b] >> 8) ^ value[0][value[k - 1][b] & 0xff];
    }
};
/* Not __constant__: threads look at different entries, which constant memory serves one after another. */
static __device__ const CrcTables tables;

__device__ static uint32_t crc32c(const uint8_t *bytes, uint32_t len)
{
    uint32_t crc = 0xffffffffu;
    const uint32_t words = len / 4;
    for (uint32_t i = 0; i < words; i++) {
        crc ^= ((const uint32_t *)bytes)[i];
        crc = tables.value[3][crc & 0xff] ^ tables.value[2][crc >> 8 & 0xff] ^ tables.value[1][crc >> 16 & 0xff] ^
              tables.value[0][crc >> 24];
    }
    for (uint32_t i = words * 4; i < len; i++)
        crc = (crc >> 8) ^ tables.value[0][(crc ^ bytes[i]) & 0xff];
    return ~crc;
}

__device__ static uint8_t hex_digit(uint32_t nibble)
{
    return (uint8_t)(nibble < 10 ? '0' + nibble : (GQ_PARAM(uppercase, false) ? 'A' : 'a') + nibble - 10);
}

__device__ void process_message(const MsgView &in, ResultView *out)
{
    *out->out_len = 8;
    if (out->cap < 8)
        return; /* reported, not written: the message fails with "overflow" */
    const uint32_t crc = crc32c(in.payload, in.len);
    for (uint32_t i = 0; i < 8; i++)
        out->out[i] = hex_digit(crc >> (28 - 4 * i) & 15);
}
