--- A doubly linked list whose links are fields of its items, so that an item can be in several
-- lists at once and leaves one in O(1).

local List = {}
List.__index = List

--- An empty list.
-- @param name tells the lists apart that share items: their links are name.."_next", "_prev"
function List.new(name)
    return setmetatable({ count = 0, next = name .. "_next", prev = name .. "_prev",
        inside = name .. "_in" }, List)
end

local function put_behind(self, before, item)
    local after
    if before then after = before[self.next] else after = self.first end
    item[self.prev], item[self.next], item[self.inside] = before, after, true
    if before then before[self.next] = item else self.first = item end
    if after then after[self.prev] = item else self.last = item end
    self.count = self.count + 1
end

--- Puts an item at the end.
function List:append(item)
    put_behind(self, self.last, item)
end

--- Puts an item where it belongs in a list that is sorted by a field. Looked for from the end,
-- since what comes in is nearly always among the newest.
-- @param field a name; its values grow along the list
function List:insert(item, field)
    local before = self.last
    while before and before[field] > item[field] do before = before[self.prev] end
    put_behind(self, before, item)
end

--- Takes an item out; nothing happens if it is not in the list.
function List:remove(item)
    if not item[self.inside] then return end
    local before, after = item[self.prev], item[self.next]
    if before then before[self.next] = after else self.first = after end
    if after then after[self.prev] = before else self.last = before end
    item[self.prev], item[self.next], item[self.inside] = nil, nil, nil
    self.count = self.count - 1
end

--- Takes the first item out.
-- @return the item, or nil
function List:pop()
    local item = self.first
    if item then self:remove(item) end
    return item
end

return List
