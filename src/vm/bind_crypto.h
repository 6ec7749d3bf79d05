/* `host.crypto`: digests and encodings, with OpenSSL. Needs no struct vm: any Lua state may
 * have it. Bytes in, bytes out; `hex` and `base64` make text of bytes.
 *
 *   md5(s) sha256(s) hmac_sha256(key, s)  the raw digest
 *   hex(s) base64(s)                      text
 *   unbase64(text)                        the bytes; nil if it is no base64 (padding required)
 *   random(n)                             n bytes that nobody can guess, n from 1 to 65536 */
#ifndef VM_BIND_CRYPTO_H
#define VM_BIND_CRYPTO_H

struct lua_State;

/* Pushes the module's table. */
int bind_crypto_open(struct lua_State *L);

#endif
