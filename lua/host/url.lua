--- URLs: escaping and building. What comes from an event goes into a URL only by these.

local M = {}

local function byte(c)
    return ("%%%02X"):format(c:byte())
end

--- Percent-encodes everything but letters, digits and - . _ ~, bytes of UTF-8 included.
-- @param text a string or a number
-- @return the encoded text, good for a path segment as for a query
function M.escape(text)
    return (tostring(text):gsub("[^%w%-._~]", byte))
end

--- The reverse; a "+" stays a plus.
-- @param text an encoded string
-- @return the text; what is no %XX stays as it is
function M.unescape(text)
    return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function add(parts, name, value)
    if type(value) == "table" then
        for _, one in ipairs(value) do add(parts, name, one) end
    else
        parts[#parts + 1] = M.escape(name) .. "=" .. M.escape(value)
    end
end

--- A query from a table, its names sorted, so that the same call looks the same in every log.
-- @param fields name → value, or a list of values
-- @return "a=1&b=2"
function M.query(fields)
    local names, parts = {}, {}
    for name in pairs(fields) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for _, name in ipairs(names) do add(parts, name, fields[name]) end
    return table.concat(parts, "&")
end

--- A URL from its parts.
-- @param base "https://host/api", with or without a slash at its end
-- @param segments a list of path segments, each escaped
-- @param fields the query (optional), as M.query takes it
-- @return the URL
function M.build(base, segments, fields)
    local parts = { (base:gsub("/+$", "")) }
    for _, segment in ipairs(segments or {}) do parts[#parts + 1] = M.escape(segment) end
    local url = table.concat(parts, "/")
    if fields and next(fields) ~= nil then url = url .. "?" .. M.query(fields) end
    return url
end

return M
