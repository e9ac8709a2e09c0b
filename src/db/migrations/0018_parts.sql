--! breaking
-- Long texts are kept in parts: what is stored in a column is then a manifest, `#<bytes> <hashes> <rest>`, which no JSON
-- text begins like. src/domain/parts.ts makes it. An older program would show a manifest for a value.

-- A piece of a text, or a node, which lists hashes of the level below. A part is stored together with or after all below
-- it, and goes with its thread or when nothing of the thread refers to it any more.
create table holdfast.parts (
  thread_id uuid not null,
  hash text collate "C" not null,
  data text not null,
  primary key (thread_id, hash)
) with (autovacuum_analyze_threshold = 1000, autovacuum_vacuum_threshold = 1000);

-- A text as it was before it was cut. Never less than that: a part that is missing is an error.
create function holdfast.whole(thread uuid, value text) returns text
language plpgsql stable parallel safe cost 1000 as $$
declare
  head text := split_part(value, ' ', 1);
  listed text := split_part(value, ' ', 2);
  section text;
  hashes text := '';
  found text;
begin
  -- From the highest level down to the pieces: the children of what is listed come before what their level lists itself.
  foreach section in array string_to_array(listed, '.') || '-'::text loop
    if hashes <> '' then
      select string_agg(p.data, case section when '-' then '' else ',' end order by h.n) into found
        from unnest(string_to_array(hashes, ',')) with ordinality as h (hash, n)
        left join holdfast.parts p on p.thread_id = thread and p.hash = h.hash
      having count(*) = count(p.hash);
      if found is null then
        raise exception 'parts of a value of thread % are missing', thread using errcode = 'data_corrupted';
      end if;
      hashes := found;
    end if;
    if section <> '-' then
      hashes := concat_ws(',', nullif(hashes, ''), nullif(section, ''));
    end if;
  end loop;
  hashes := hashes || substr(value, length(head) + length(listed) + 3);
  if octet_length(hashes) <> substr(head, 2)::bigint then
    raise exception 'a value of thread % is not as long as it was', thread using errcode = 'data_corrupted';
  end if;
  return hashes;
end
$$;

-- How long a stored text is when it is whole, without reading its parts.
create function holdfast.whole_bytes(value text) returns bigint language sql immutable parallel safe as $$
  select case when left(value, 1) = '#' then split_part(substr(value, 2, 20), ' ', 1)::bigint
         else octet_length(value) end
$$;
