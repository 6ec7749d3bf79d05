#include "vm/bind_crypto.h"

#include "vm/raise.h"

#include <limits.h>
#include <lauxlib.h>
#include <lua.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <string.h>

static MAY_RAISE int failed(lua_State *L, const char *what)
{
    raise_push(L, "crypto", "%s is not available here (OpenSSL refused it)", what);
    return lua_error(L);
}

static MAY_RAISE int push_digest(lua_State *L, const EVP_MD *type, const char *name)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!type || EVP_Digest(text, len, digest, &size, type, NULL) != 1)
        return failed(L, name);
    lua_pushlstring(L, (const char *)digest, size);
    return 1;
}

static MAY_RAISE int crypto_md5(lua_State *L)
{
    return push_digest(L, EVP_md5(), "md5");
}

static MAY_RAISE int crypto_sha256(lua_State *L)
{
    return push_digest(L, EVP_sha256(), "sha256");
}

static MAY_RAISE int crypto_hmac_sha256(lua_State *L)
{
    size_t key_len, len;
    const char *key = luaL_checklstring(L, 1, &key_len);
    const char *text = luaL_checklstring(L, 2, &len);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    luaL_argcheck(L, key_len <= INT_MAX, 1, "too long");
    if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, digest, &size))
        return failed(L, "hmac_sha256");
    lua_pushlstring(L, (const char *)digest, size);
    return 1;
}

static MAY_RAISE int crypto_hex(lua_State *L)
{
    static const char digits[] = "0123456789abcdef";
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, 2 * len);
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[(unsigned char)bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    luaL_pushresultsize(&b, 2 * len);
    return 1;
}

static MAY_RAISE int crypto_base64(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= INT_MAX / 2, 1, "too long");
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, 4 * ((len + 2) / 3) + 1); /* OpenSSL adds a NUL */
    int size = EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)bytes, (int)len);
    luaL_pushresultsize(&b, (size_t)size);
    return 1;
}

/* OpenSSL's decoder passes over blanks and takes padding for zeros: neither is right here. */
static MAY_RAISE int crypto_unbase64(lua_State *L)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= INT_MAX / 2, 1, "too long");
    size_t plain = strspn(text, digits), padding = len - plain;
    if (len % 4 || padding > 2 || strspn(text + plain, "=") != padding) {
        lua_pushnil(L);
        return 1;
    }
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len / 4 * 3 + 1);
    int size = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
    if (size < 0)
        return failed(L, "base64");
    luaL_pushresultsize(&b, (size_t)size - padding);
    return 1;
}

static MAY_RAISE int crypto_random(lua_State *L)
{
    lua_Integer count = luaL_checkinteger(L, 1);
    luaL_argcheck(L, count >= 1 && count <= 65536, 1, "from 1 to 65536");
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, (size_t)count);
    if (RAND_bytes((unsigned char *)out, (int)count) != 1)
        return failed(L, "random");
    luaL_pushresultsize(&b, (size_t)count);
    return 1;
}

MAY_RAISE int bind_crypto_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"md5", crypto_md5},
        {"sha256", crypto_sha256},
        {"hmac_sha256", crypto_hmac_sha256},
        {"hex", crypto_hex},
        {"base64", crypto_base64},
        {"unbase64", crypto_unbase64},
        {"random", crypto_random},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
