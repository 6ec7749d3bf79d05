--- What is due when: a binary heap of items by their field `due`.
--
-- An item is in at most one heap; the heap keeps its place in the item's field `place`, so that
-- one in the middle is taken out in O(log n).

local Heap = {}
Heap.__index = Heap

local function put(heap, item, place)
    heap[place] = item
    item.place = place
end

local function rise(heap, place)
    local item = heap[place]
    while place > 1 do
        local above = place // 2
        if heap[above].due <= item.due then break end
        put(heap, heap[above], place)
        place = above
    end
    put(heap, item, place)
end

local function sink(heap, place)
    local item, count = heap[place], heap.count
    while true do
        local below = 2 * place
        if below > count then break end
        if below < count and heap[below + 1].due < heap[below].due then below = below + 1 end
        if item.due <= heap[below].due then break end
        put(heap, heap[below], place)
        place = below
    end
    put(heap, item, place)
end

--- An empty heap.
function Heap.new()
    return setmetatable({ count = 0 }, Heap)
end

--- Puts an item in; its `due` must not change while it is there.
-- @param item a table with a number `due`
function Heap:add(item)
    self.count = self.count + 1
    put(self, item, self.count)
    rise(self, self.count)
end

--- Takes an item out; nothing happens if it is in no heap.
-- @param item the table that was added
function Heap:remove(item)
    local place = item.place
    if not place then return end
    local last = self[self.count]
    self[self.count] = nil
    self.count = self.count - 1
    item.place = nil
    if last ~= item then
        put(self, last, place)
        rise(self, place)
        sink(self, last.place)
    end
end

--- The item that is due first.
-- @return the item, or nil
function Heap:first()
    return self[1]
end

return Heap
