--- HTTP requests. Every status is an answer, unless `expect` says which are; others, and failures,
-- raise {kind, message, retryable, status, after, …}. Redirections are not followed. A request that
-- may have reached the server is repeated only if it is idempotent; timeouts end before the
-- message's own time does.
--
--     local answer = http.post("https://crm.example.org/people", { json = person,
--                                                                   expect = "2xx" })

local M = {}

--- What a server answered.
-- @class host.http.Answer
-- @field status an integer
-- @field headers a table: name in small letters → text
-- @field body a string
-- @field elapsed a number: seconds
-- @field retry_after a number or nil: seconds, from Retry-After
-- @field url a string: method and URL, without its query
local Answer = {}

--- The body, decoded.
-- @return the value
-- @raise json, with line and column
function Answer.json() end

--- Sends a request.
-- @param options a table: method, url, query (name → value), headers, body (a text), json (any
--   value) or form (name → value), timeout (seconds), expect (a status, a
--   list of them, or "2xx": others are errors), idempotent (false for POST and PATCH unless said)
-- @return host.http.Answer: the answer
-- @raise connect, timeout, cut, too_big; http, with status and body, for one that is not expected;
--   target_failed if the server is the trouble
function M.request(options) end

--- GET.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.get(url, options) end

--- HEAD.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.head(url, options) end

--- POST; never repeated by itself unless idempotent = true.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.post(url, options) end

--- PUT.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.put(url, options) end

--- PATCH; never repeated by itself unless idempotent = true.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.patch(url, options) end

--- DELETE.
-- @param url a string, or a table as for request
-- @param options a table as for request (optional)
-- @return host.http.Answer: the answer
-- @raise as request
function M.delete(url, options) end

return M
