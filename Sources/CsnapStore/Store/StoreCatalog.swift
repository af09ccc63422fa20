import CsnapCore

/// The state as a checkpoint writes it: one sequence of bytes, cut into pages.
///
/// Windows that are open, pieces of journal and quarantine are in the anchor, not here.
enum StoreCatalog {
    private static let version: UInt8 = 3

    static func encode(_ state: StoreState, nodes: NodeMap) -> [UInt8] {
        var writer = ByteWriter(capacity: 4096)
        writer.byte(version)
        writer.fixed(state.generation)
        writer.fixed(state.originSize)
        writer.list(state.snapshots)
        writer.list(state.prepared)
        writer.list(state.writers)
        writer.flag(state.sweep != nil)
        writer.flag(state.sweep?.again ?? false)
        writer.optional(state.sweep?.cursor)
        let used = state.windows.indices.filter { state.windows[$0].kind != .free && state.windows[$0].kind != .nodes }
        writer.fixed(UInt32(used.count))
        for index in used {
            writer.fixed(UInt32(index))
            writer.byte(state.windows[index].kind.rawValue)
            writer.fixed(state.windows[index].used)
        }
        writer.fixed(UInt32(nodes.windows.count))
        for window in nodes.windows {
            writer.fixed(window)
            for word in nodes.map(of: window) ?? [] { writer.fixed(word) }
        }
        let pages = state.space.pointers.indices.filter { state.space.pointers[$0] != nil }
        writer.fixed(UInt32(pages.count))
        for page in pages {
            writer.fixed(UInt32(page))
            writer.fixed(state.space.pointers[page]?.offset ?? 0)
            writer.fixed(state.space.pointers[page]?.checksum ?? 0)
        }
        writer.optional(state.revert)
        writer.list(state.branches)
        writer.fixed(state.lastBranch)
        writer.fixed(state.lastWrite)
        writer.flag(state.sweep?.againInBranches ?? false)
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8], _ geometry: StoreGeometry) throws(WireError) -> StoreState {
        var reader = ByteReader(bytes)
        let written = try reader.byte()
        // Version 1 knew no revert, version 2 no branch.
        guard (1...version).contains(written) else { throw .malformed }
        var state = StoreState(geometry)
        state.generation = try reader.fixed(UInt64.self)
        state.originSize = try reader.fixed(UInt64.self)
        guard state.originSize <= StoreLayout.maximumOriginSize else { throw .malformed }
        state.snapshots = try reader.list(limit: StoreLimits.snapshots)
        for index in state.snapshots.indices.dropFirst()
        where state.snapshots[index - 1].number >= state.snapshots[index].number { throw .malformed }
        guard state.snapshots.last?.number.branch == nil else { throw .malformed }
        let newest = state.snapshots.last?.number.value ?? 0
        guard state.generation > newest, state.generation < SnapshotNumber.branches else { throw .malformed }
        state.prepared = try reader.list(limit: StoreLimits.prepared)
        state.writers = try reader.list(limit: StoreLimits.writers)
        let isSweeping = try reader.flag()
        let again = try reader.flag()
        let cursor: EntryKey? = try reader.optional()
        if isSweeping, !StoreMutants.active(.sweepNotResumed) { state.sweep = SweepState(cursor: cursor, again: again) }
        try windows(&reader, &state, geometry.unitsPerWindow)
        try nodes(&reader, &state, geometry)
        try space(&reader, &state)
        if written >= 2 { state.revert = try reader.optional() }
        if written >= 3 { try branches(&reader, &state) }
        try reader.finish()
        return state
    }

    private static func branches(_ reader: inout ByteReader, _ state: inout StoreState) throws(WireError) {
        state.branches = try reader.list(limit: StoreLimits.snapshots)
        state.lastBranch = try reader.fixed(UInt32.self)
        var before: UInt32 = 0
        for branch in state.branches {
            guard let number = branch.number.branch, number > before, number <= state.lastBranch else {
                throw .malformed
            }
            before = number
        }
        state.lastWrite = try reader.fixed(UInt64.self)
        guard state.lastWrite < EntryKey.lastWrite else { throw .malformed }
        let againInBranches = try reader.flag()
        state.sweep?.againInBranches = againInBranches
    }

    /// `limit`: places of a window.
    private static func windows(
        _ reader: inout ByteReader, _ state: inout StoreState, _ limit: Int
    ) throws(WireError) {
        for _ in 0..<(try reader.fixed(UInt32.self)) {
            let index = Int(try reader.fixed(UInt32.self))
            guard index < state.windows.count, let kind = WindowKind(rawValue: try reader.byte()) else {
                throw .malformed
            }
            let used = try reader.fixed(UInt32.self)
            guard used <= limit else { throw .malformed }
            state.windows[index] = Window(kind: kind, used: used)
        }
    }

    private static func nodes(
        _ reader: inout ByteReader, _ state: inout StoreState, _ geometry: StoreGeometry
    ) throws(WireError) {
        for _ in 0..<(try reader.fixed(UInt32.self)) {
            let window = try reader.fixed(UInt32.self)
            guard window < state.windows.count else { throw .malformed }
            var map: [UInt64] = []
            for _ in 0..<((geometry.nodesPerWindow + 63) / 64) { map.append(try reader.fixed(UInt64.self)) }
            state.nodes.replace(window, map)
            state.windows[Int(window)] = Window(kind: .nodes, used: UInt32(state.nodes.count(in: window)))
        }
    }

    private static func space(_ reader: inout ByteReader, _ state: inout StoreState) throws(WireError) {
        var pointers = state.space.pointers
        for _ in 0..<(try reader.fixed(UInt32.self)) {
            let page = Int(try reader.fixed(UInt32.self))
            guard page < pointers.count else { throw .malformed }
            pointers[page] = NodePointer(
                offset: try reader.fixed(UInt64.self), checksum: try reader.fixed(UInt32.self))
        }
        state.space.set(pointers: pointers)
    }
}
