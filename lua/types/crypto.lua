--- Digests, encodings and random bytes, by OpenSSL. Digests are bytes: hex makes text of them.

local M = {}

--- MD5, for servers that ask for it.
-- @param text a string
-- @return a string: 16 bytes
function M.md5(text) end

--- SHA-256.
-- @param text a string
-- @return a string: 32 bytes
function M.sha256(text) end

--- HMAC with SHA-256.
-- @param key a string
-- @param text a string
-- @return a string: 32 bytes
function M.hmac_sha256(key, text) end

--- Bytes as hexadecimal digits, small letters.
-- @param bytes a string
-- @return a string
function M.hex(bytes) end

--- Bytes as base64, with padding.
-- @param bytes a string
-- @return a string
function M.base64(bytes) end

--- The reverse of base64.
-- @param text a string
-- @return a string or nil: the bytes; nil if it is no base64
function M.unbase64(text) end

--- Random bytes, good for secrets.
-- @param count an integer from 1 to 65536
-- @return a string
function M.random(count) end

return M
