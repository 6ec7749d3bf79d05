--- How the Keycloak stand-in words its answers: each function returns status, headers, body.

local json = require "host.json"

local M = {}

M.FORBIDDEN = "HTTP 403 Forbidden"
M.NOT_FOUND = "HTTP 404 Not Found"

--- A body as the token endpoint and all errors send it: no charset.
function M.plain(status, body)
    return status, { ["content-type"] = "application/json" }, json.encode(body)
end

--- {"error": …, "error_description": …}
function M.problem(status, text, description)
    return M.plain(status, { error = text, error_description = description })
end

--- The service account lacks a role.
function M.forbidden()
    return M.problem(403, M.FORBIDDEN)
end

--- What Keycloak answers when it has no better idea.
function M.unknown()
    return M.problem(500, "unknown_error", "For more on this error consult the server log.")
end

--- 200 with a representation.
function M.found(value)
    return 200, { ["content-type"] = "application/json;charset=UTF-8",
        ["cache-control"] = "no-cache" }, json.encode(value)
end

--- 204.
function M.done(headers)
    return 204, headers or {}, ""
end

return M
