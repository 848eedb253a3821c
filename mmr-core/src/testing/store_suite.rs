//! The promises of [`MediaStore`](crate::store::MediaStore) as tests: one function per promise, one file per facet, and
//! one for races.
//!
//! ```
//! mod my_store {
//!     use mmr_core::backend::memory::MemoryStore;
//!
//!     mmr_core::testing::media_store_suite!(MemoryStore::new());
//! }
//! ```

pub mod blobs;
pub mod exports;
pub mod fixtures;
pub mod leases;
pub mod lists;
pub mod media;
pub mod moderation;
pub mod previews;
pub mod races;
pub mod signals;
pub mod tasks;
pub mod thumbnails;
pub mod uploads;
pub mod usage;

/// Makes one test of every promise. The expression gives a fresh, empty [`MediaStore`](crate::store::MediaStore); it is
/// evaluated in an async block, once per test.
#[macro_export]
macro_rules! media_store_suite {
    ($make:expr) => {
        $crate::__contract!(
            $crate::testing::store_suite::media,
            $make,
            [
                an_unknown_name_is_unknown,
                inserted_media_is_looked_up_as_it_was_given,
                a_missing_checksum_stays_missing,
                names_are_compared_exactly,
                a_name_is_given_once,
                the_same_bytes_are_stored_once,
                a_link_to_bytes_that_are_gone_records_nothing,
                two_blobs_never_lie_in_one_place,
                quarantined_bytes_are_refused_under_any_name,
                refusals_come_in_the_promised_order,
                the_quota_counts_the_new_media,
                the_quota_of_a_user_is_their_own,
                the_facts_about_new_bytes_are_the_uploaders_sums,
                the_facts_about_stored_bytes_are_blob_verdict_and_same_upload,
                the_same_upload_is_the_same_in_every_respect,
                removed_media_is_unknown,
                removal_goes_from_the_oldest_up_to_the_limit,
                removal_of_expired_media_goes_by_expiry,
                a_shared_blob_goes_with_its_last_name,
                a_batch_frees_a_shared_blob_once,
                removal_spares_reservations,
                reading_is_noted_by_bytes_and_never_moves_back,
                storing_counts_as_reading,
                a_dropped_insert_happens_wholly_or_not_at_all,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::lists,
            $make,
            [
                each_condition_of_a_filter_selects_by_itself,
                conditions_of_a_filter_hold_together,
                a_list_is_ordered_with_ties_by_name,
                names_are_ordered_by_server_first,
                pages_of_a_list_join_without_gaps,
                a_filter_takes_thousands_of_names,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::blobs,
            $make,
            [
                garbage_is_listed_oldest_first_until_forgotten,
                young_garbage_is_spared,
                a_place_in_use_again_is_no_garbage,
                orphans_are_keys_that_nothing_names,
                a_moved_blob_leaves_garbage_behind,
                a_blob_moves_only_from_where_it_is,
                moving_a_blob_to_its_own_place_does_nothing,
                a_blob_never_moves_onto_another,
                the_sums_of_a_datastore_follow_what_lies_in_it,
                datastores_in_use_are_listed_in_order,
                the_blobs_of_a_datastore_are_paged_by_key,
                a_blob_tells_what_it_is_for_and_when_it_was_used,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::uploads,
            $make,
            [
                a_reserved_name_is_looked_up_as_reserved,
                a_name_is_reserved_once,
                a_filled_name_is_media,
                only_the_owner_fills_a_name,
                a_name_is_filled_before_it_expires,
                a_name_that_was_not_reserved_cannot_be_filled,
                a_reserved_name_is_taken,
                a_refused_fill_keeps_the_reservation,
                the_limit_counts_unexpired_names_of_the_owner,
                pending_names_are_counted_until_they_expire,
                expired_names_are_forgotten_oldest_first,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::thumbnails,
            $make,
            [
                a_thumbnail_is_looked_up_with_its_picture,
                every_name_of_a_picture_has_its_thumbnails,
                no_picture_has_no_thumbnail,
                thumbnails_differ_by_every_part_of_the_request,
                a_thumbnail_needs_media_with_its_source,
                a_thumbnail_shares_stored_bytes,
                a_thumbnail_is_rendered_once,
                quarantine_does_not_stop_a_thumbnail,
                thumbnails_go_with_the_last_name_of_their_picture,
                thumbnails_go_although_an_export_keeps_their_picture,
                bytes_shared_with_a_thumbnail_stay,
                a_picture_may_be_its_own_thumbnail,
                old_thumbnails_are_removed_by_filter,
                a_batch_counts_thumbnails_whose_bytes_stay,
                the_thumbnails_of_a_picture_are_listed_in_order,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::moderation,
            $make,
            [
                quarantine_takes_all_copies,
                quarantine_spares_pinned_media_but_not_its_copies,
                quarantine_stays_within_its_origins,
                lifting_gives_back_what_was_named,
                a_verdict_goes_with_its_media,
                attributes_are_what_was_set_last,
                unknown_media_has_no_attributes,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::usage,
            $make,
            [
                the_sum_of_a_user_counts_every_media_of_theirs,
                the_sum_of_a_server_counts_every_media_of_its_name,
                users_are_listed_with_their_sums,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::tasks,
            $make,
            [
                a_new_task_waits,
                a_later_task_has_a_larger_id,
                the_oldest_due_task_is_claimed_first,
                a_claim_lasts_as_long_as_was_asked,
                a_renewed_claim_lasts_longer,
                a_lost_claim_is_noticed,
                a_claim_that_nobody_took_over_still_counts,
                a_finished_task_stays_finished,
                tasks_are_listed_newest_first,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::exports,
            $make,
            [
                an_export_lists_its_parts_by_number,
                an_export_is_created_once,
                a_part_needs_an_export_a_free_number_and_bytes,
                parts_share_stored_bytes,
                a_removed_export_frees_its_parts,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::leases,
            $make,
            [
                a_lease_has_one_holder_until_it_runs_out,
                a_holder_renews_its_lease,
                only_the_holder_gives_a_lease_back,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::previews,
            $make,
            [
                the_latest_preview_of_a_page_is_found,
                a_preview_of_the_same_moment_is_replaced,
                old_previews_are_forgotten_oldest_first,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::signals,
            $make,
            [
                every_subscriber_hears_every_signal_in_order,
                a_subscriber_hears_what_is_published_after_it_came,
                a_slow_subscriber_learns_that_it_missed_something,
            ]
        );
        $crate::__contract!(
            $crate::testing::store_suite::races,
            $make,
            [
                of_many_with_the_same_bytes_one_stores,
                of_many_under_one_name_one_is_recorded,
                of_many_fills_of_one_name_one_wins,
                a_name_is_filled_or_expired_but_not_both,
                many_reservations_never_exceed_the_limit,
                of_many_reservations_of_one_name_one_succeeds,
                many_uploads_never_exceed_a_quota,
                a_link_to_vanishing_bytes_holds_or_fails,
                bytes_that_come_and_go_at_once_are_never_lost,
                a_thumbnail_never_outlives_its_picture,
                a_blob_that_moves_and_goes_leaves_no_live_garbage,
                of_many_who_want_a_lease_one_gets_it,
                no_two_holders_have_one_task,
                a_name_that_is_filled_is_never_unknown,
            ]
        );
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_promise_is_in_the_macro() {
        let listed = include_str!("store_suite.rs");
        for file in [
            include_str!("store_suite/blobs.rs"),
            include_str!("store_suite/exports.rs"),
            include_str!("store_suite/leases.rs"),
            include_str!("store_suite/lists.rs"),
            include_str!("store_suite/media.rs"),
            include_str!("store_suite/moderation.rs"),
            include_str!("store_suite/previews.rs"),
            include_str!("store_suite/races.rs"),
            include_str!("store_suite/signals.rs"),
            include_str!("store_suite/tasks.rs"),
            include_str!("store_suite/thumbnails.rs"),
            include_str!("store_suite/uploads.rs"),
            include_str!("store_suite/usage.rs"),
        ] {
            let promises = file.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            for name in promises.filter_map(|line| line.split('(').next()) {
                assert!(listed.contains(&format!("                {name},\n")), "{name} is not listed");
            }
        }
    }
}
